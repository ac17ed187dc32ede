/** Promise 2, one disk: every disk but the target is read-only in the kernel for the run. */
import { readFileSync } from "node:fs";
import { parseSwaps, type Swap } from "../disk/guard.ts";
import { type Disk, readDisks } from "../disk/inventory.ts";
import { type MountInfo, parseMountInfo } from "../disk/mounts.ts";
import { type Protection, protectOtherDisks } from "../disk/read-only.ts";

/**
 * Sets every other disk read-only. In an initramfs that is every one. Where `reimage run` runs in a living system, the
 * disks that it lives on are left alone, and so are loop devices, which are files of that system.
 */
export async function protectOthers(target: Disk): Promise<Protection> {
  const disks = await readDisks();
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const swaps = parseSwaps(readFileSync("/proc/swaps", "utf8"));
  const protectable = disks.filter((disk) => disk.transport !== "loop" && !isLivedOn(disk, mounts, swaps));
  return await protectOtherDisks(protectable, target);
}

/** Whether the running system has something on the disk that it writes to. */
export function isLivedOn(disk: Disk, mounts: readonly MountInfo[], swaps: readonly Swap[]): boolean {
  const devices = [disk, ...disk.partitions];
  const isMountedForWriting = mounts.some(
    (mount) =>
      mount.options.split(",").includes("rw") &&
      devices.some((device) => device.deviceNumber === mount.deviceNumber || device.path === mount.source),
  );
  const isSwappedTo = swaps.some((swap) => devices.some((device) => device.path === swap.path));
  return isMountedForWriting || isSwappedTo || disk.holders.length > 0;
}
