/** How an armed machine stands: what its next start leads to, and whether the lifeboat is as it was left. */
import { openBlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { ReimageError } from "../errors.ts";
import { findLifeboat } from "../lifeboat/find.ts";
import { mapBulk } from "../lifeboat/layout.ts";
import { type Lifeboat, openLifeboat } from "../lifeboat/lifeboat.ts";
import { findPlaceDisk } from "../lifeboat/places/find-disk.ts";
import { checkPlace } from "../lifeboat/places/release.ts";
import { isOldOsWhole } from "../lifeboat/record.ts";
import { checksumRegion, digestRegions } from "../lifeboat/region-io.ts";
import { type CurrentBoot, currentBoot } from "../lifeboat/switch/current-boot.ts";
import { alignedBuffer } from "../system/libc.ts";
import type { KeptNote } from "./kept-note.ts";

export type LifeboatNote = Extract<KeptNote, { kind: "lifeboat" }>;

export interface ArmedFacts {
  readonly disk: Disk;
  /** Null where its header or its record is not whole any more, or not yet. */
  readonly lifeboat: Lifeboat | null;
  /** The sector that is the switch, as it is now. */
  readonly switchSector: Buffer;
  /** What the switch sector leads to now. */
  readonly boots: CurrentBoot;
  /** What has happened to the lifeboat or its place since, in words; null: nothing. */
  readonly change: string | null;
}

/**
 * Looks at the disk that a note tells of.
 * @throws ReimageError `lifeboat` where the disk is not there.
 */
export async function inspectArmed(note: LifeboatNote): Promise<ArmedFacts> {
  const disk = await findPlaceDisk(note.undo.disk);
  const { switching } = note;
  const sectors = await readBootSectors(disk);
  const boots = currentBoot(sectors, {
    ...switching,
    oldSector: Buffer.from(switching.oldSector, "base64"),
    lifeboatSector: Buffer.from(switching.lifeboatSector, "base64"),
  });
  const { sectorOffsetBytes: offsetBytes, sectorSizeBytes } = switching;
  const switchSector = sectors.subarray(offsetBytes, offsetBytes + sectorSizeBytes);
  const lifeboat = await openNoted(disk, note);
  const change = lifeboat === null ? "the disk holds no whole lifeboat" : await checkPlace(note.undo);
  return { disk, lifeboat, switchSector, boots, change };
}

async function openNoted(disk: Disk, note: LifeboatNote): Promise<Lifeboat | null> {
  const found = await findLifeboat([disk], note);
  if (found === null) return null;
  return await openLifeboat(found.disk, found.header).catch((error: unknown) => {
    if (error instanceof ReimageError && error.code === "lifeboat") return null;
    throw error;
  });
}

/**
 * Reads what the next start needs, all of it. @returns what is not as it was written, in words; null: nothing.
 * @throws ReimageError `device-io`
 */
export async function findDamage({ disk, header, record }: Lifeboat): Promise<string | null> {
  if (!isOldOsWhole(record.state)) return null; // it is being used up
  const { volume, image } = header;
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  if ((await checksumRegion(device, volume)) !== volume.checksum)
    return "the boot volume of the lifeboat is not as it was written";
  const regions = mapBulk(header.bulk, header.layout.image);
  const isWhole = (await digestRegions(device, regions, image.sizeBytes)) === image.sha256;
  return isWhole ? null : "the image in the lifeboat is not as it was written";
}

async function readBootSectors(disk: Disk): Promise<Buffer> {
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  const sectors = alignedBuffer(2 * disk.sectorSizeBytes);
  await device.readDirectAt(sectors, 0);
  return sectors;
}
