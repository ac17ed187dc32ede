/** The target as it is now: the guard, right before it is touched, each time that it is opened. */
import { readFileSync } from "node:fs";
import { type BlockDevice, openBlockDevice } from "../disk/block-device.ts";
import { assertSameDisk, checkUnused, findDiskAgain, parseSwaps } from "../disk/guard.ts";
import { type Disk, readDisks } from "../disk/inventory.ts";
import { parseMountInfo } from "../disk/mounts.ts";
import type { TargetState } from "../report/events.ts";

/**
 * The disk that was judged, which nobody uses. Once it has been written it is looked for by serial number or WWN too: a
 * link that was reset gives the same disk another number, and what the machine was is in memory only.
 * @throws ReimageError `target` where it is gone or is another disk by now, `target-busy` where something uses it.
 */
export async function guardTarget(judged: Disk, state: TargetState): Promise<Disk> {
  const disks = await readDisks();
  const target = state === "untouched" ? assertSameDisk(judged, disks) : findDiskAgain(judged, disks);
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  checkUnused(target, mounts, parseSwaps(readFileSync("/proc/swaps", "utf8")));
  return target;
}

/**
 * Opens the target for writing, exclusively, and looks once more: what is open must be the disk that was guarded, even
 * where its name has gone over to another one in between.
 */
export async function openTarget(guarded: Disk): Promise<BlockDevice> {
  const device = await openBlockDevice(guarded.path, { write: true, exclusive: true });
  try {
    assertSameDisk(
      guarded,
      (await readDisks()).filter((disk) => disk.deviceNumber === device.deviceNumber),
    );
    return device;
  } catch (error) {
    await device[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens the target, uses it, and closes it again, because nothing on it can be mounted while it is held. */
export async function withTarget<T>(guarded: Disk, use: (device: BlockDevice) => Promise<T>): Promise<T> {
  await using device = await openTarget(guarded);
  return await use(device);
}
