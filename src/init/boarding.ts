/**
 * Boarding: the machine was booted from its lifeboat. The lifeboat is found, the attempt is counted, and what was parked
 * comes back, so that the run carries on where the power was cut.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { readDisks } from "../disk/inventory.ts";
import { addPartitions, forgetPartitions, partitionPath } from "../disk/kernel-partitions.ts";
import { ReimageError } from "../errors.ts";
import { type FoundLifeboat, findLifeboat } from "../lifeboat/find.ts";
import type { LifeboatHeader } from "../lifeboat/header.ts";
import { type Lifeboat, openLifeboat } from "../lifeboat/lifeboat.ts";
import { imagePath, notePath, parseNote } from "../lifeboat/note.ts";
import { isOldOsWhole } from "../lifeboat/record.ts";
import { checksumRegion } from "../lifeboat/region-io.ts";
import { unpackParked } from "../stages/parking.ts";
import { alignedBuffer } from "../system/libc.ts";
import { waitFor } from "./devices.ts";

/** Whether this initramfs was booted from a lifeboat. */
export function isLifeboatNoted(): boolean {
  return existsSync(notePath);
}

/**
 * Waits for the disk with the lifeboat, and opens it. A disk that holds it and says other things of itself than the header
 * is taken where the right one has not appeared in all that time.
 * @throws ReimageError `target` where it does not appear in time, `lifeboat` where it is not to be trusted.
 */
export async function boardLifeboat(waitSeconds: number): Promise<Lifeboat> {
  const wanted = parseNote(readFileSync(notePath, "utf8"));
  const find = async (): Promise<FoundLifeboat | null> => findLifeboat(await readDisks(), wanted, false);
  const what = `the disk with the lifeboat ${wanted.uuid}`;
  const { disk, header } = await waitFor(what, find, waitSeconds).catch(async (error: unknown) => {
    const other = await findLifeboat(await readDisks(), wanted);
    if (other === null) throw error;
    return other;
  });
  return await openLifeboat(disk, header);
}

/**
 * A run that was given up is not begun again, where the program was killed before it could end the machine: the sector that
 * boots is the old OS's, so that a power cut would boot what was overwritten.
 * @throws ReimageError `lifeboat` with the reason for which it was given up.
 */
export async function requireNotGivenUp({ header, record, withDevice }: Lifeboat): Promise<void> {
  if (!isOldOsWhole(record.state)) return;
  const oldSector = Buffer.from(header.switching.oldSector, "base64");
  const found = alignedBuffer(oldSector.length);
  await withDevice((device) => device.readDirectAt(found, header.switching.sectorOffsetBytes));
  if (record.state !== "abandoned" && !found.equals(oldSector)) return;
  throw new ReimageError("lifeboat", record.reason ?? "the old boot sector is on the disk", {
    hint: "the run was given up, and the old system boots; arm the machine again once the reason is gone",
  });
}

/**
 * Counts this boot as an attempt at the state that the record is in.
 * @throws ReimageError `lifeboat` where there were too many.
 */
export async function countAttempt(lifeboat: Lifeboat, workDir: string): Promise<void> {
  if (isAttemptCounted(workDir)) return; // the program was started again, not the machine
  const { attempts, state, reason } = lifeboat.record;
  if (attempts >= lifeboat.header.mostAttempts) {
    const last = reason === null ? "" : `; the last failure was: ${reason}`;
    throw new ReimageError("lifeboat", `the machine was started ${attempts} times in state ${state}${last}`, {
      hint: "find out what stops it (power, disk, memory) before it is tried again",
    });
  }
  await lifeboat.advance({ attempts: attempts + 1 });
  writeFileSync(attemptMarker(workDir), "");
}

const attemptMarker = (workDir: string) => join(workDir, "attempt-counted");

/** Whether this start of the machine stands in the record: without that it could start again and again for ever. */
export function isAttemptCounted(workDir: string): boolean {
  return existsSync(attemptMarker(workDir));
}

/**
 * Makes the machine what the run expects: the old partitions known to the kernel while the old OS is whole, and what was
 * parked in the work directory.
 * @throws ReimageError `lifeboat` where the lifeboat does not hold what was put into it.
 */
export async function unpackLifeboat(lifeboat: Lifeboat, workDir: string, config: Config): Promise<void> {
  const { disk, header, record } = lifeboat;
  if (record.state === "armed") await requireWholeVolume(lifeboat);
  if (isOldOsWhole(record.state)) {
    await forgetPartitions(disk.path);
    await addPartitions(disk.path, header.oldTable);
  }
  await unpackParked(lifeboat, workDir, config);
}

/** The configuration as it holds here: the image is in the lifeboat, and old partitions are known by their numbers (pure). */
export function configAboard(config: Config, header: LifeboatHeader, diskPath: string): Config {
  const onDisk = (spec: string): string => {
    const number = header.oldNames[spec];
    return number === undefined ? spec : partitionPath(diskPath, number);
  };
  const mounts = Object.fromEntries(Object.entries(config.old.mounts).map(([point, spec]) => [point, onDisk(spec)]));
  return {
    ...config,
    image: { ...config.image, source: imagePath, manifest: null, mirrors: [] },
    old: { root: onDisk(config.old.root), mounts },
  };
}

/** What was booted is what was put there: somebody may have written to it since. */
async function requireWholeVolume({ disk, header, withDevice }: Lifeboat): Promise<void> {
  const found = await withDevice((device) => checksumRegion(device, header.volume));
  if (found === header.volume.checksum) return;
  throw new ReimageError("lifeboat", `the boot volume of the lifeboat on ${disk.path} was changed after it was armed`, {
    hint: "find out who writes there, and arm the machine again",
  });
}
