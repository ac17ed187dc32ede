/** What a machine that was armed looks like from its old OS. */
import { openBlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { findLifeboat } from "../lifeboat/find.ts";
import { switchPlanOf } from "../lifeboat/header.ts";
import { type Lifeboat, openLifeboat } from "../lifeboat/lifeboat.ts";
import { findPlaceDisk } from "../lifeboat/places/find-disk.ts";
import { checkPlace } from "../lifeboat/places/release.ts";
import { type CurrentBoot, currentBoot } from "../lifeboat/switch/current-boot.ts";
import { alignedBuffer } from "../system/libc.ts";
import type { KeptNote } from "./kept-note.ts";

export interface ArmedFacts {
  readonly lifeboat: Lifeboat;
  /** What the switch sector leads to now. */
  readonly boots: CurrentBoot;
  /** What has happened to the place since, in words; null: nothing. */
  readonly change: string | null;
}

/**
 * Looks at the lifeboat that a note tells of. @returns null where the disk does not hold it any more.
 * @throws ReimageError `lifeboat` where its disk is not there, or its record is damaged.
 */
export async function inspectArmed(note: Extract<KeptNote, { kind: "lifeboat" }>): Promise<ArmedFacts | null> {
  const found = await findLifeboat([await findPlaceDisk(note.undo.disk)], note);
  if (found === null) return null;
  const lifeboat = await openLifeboat(found.disk, found.header);
  const plan = switchPlanOf(found.header);
  return {
    lifeboat,
    boots: currentBoot(await readBootSectors(found.disk), plan),
    change: await checkPlace(note.undo),
  };
}

async function readBootSectors(disk: Disk): Promise<Buffer> {
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  const sectors = alignedBuffer(2 * disk.sectorSizeBytes);
  await device.readDirectAt(sectors, 0);
  return sectors;
}
