/** Promise 2, one disk: every disk but the target is read-only in the kernel for the run. */
import { constants, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { parseSwaps, type Swap } from "../disk/guard.ts";
import { type Disk, readDisks } from "../disk/inventory.ts";
import { type MountInfo, parseMountInfo } from "../disk/mounts.ts";
import { type Protection, protectOtherDisks } from "../disk/read-only.ts";
import { type StageContext, step } from "./context.ts";

/**
 * Sets every other disk read-only. In an initramfs that is every one. Where `reimage run` runs in a living system, the
 * disks that it lives on are left alone, and so are loop devices, which are files of that system. What is left alone is
 * told.
 */
export async function protectOthers(target: Disk, context: StageContext): Promise<Protection> {
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const swaps = parseSwaps(readFileSync("/proc/swaps", "utf8"));
  const protectable: Disk[] = [];
  for (const disk of await readDisks()) {
    if (disk.deviceNumber === target.deviceNumber || disk.transport === "loop") continue;
    const reason = isLivedOn(disk, mounts, swaps) ? "the running system uses it" : await whyNotHeld(disk);
    if (reason === null) protectable.push(disk);
    else step(context, "save", `${disk.path} is not set read-only: ${reason}`);
  }
  return await protectOtherDisks(protectable, target);
}

/**
 * What speaks against taking a disk's writability away. A disk may be in use where this process cannot see it: in a
 * container, or below a chroot, the mounts of the machine are not in mountinfo. The kernel knows: it refuses the exclusive
 * open. And what this process may not even open it cannot write to.
 */
async function whyNotHeld(disk: Disk): Promise<string | null> {
  try {
    await (await open(disk.path, constants.O_RDONLY | constants.O_EXCL)).close();
    return null;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EBUSY") return "something outside of this process's view uses it";
    if (code === "EPERM" || code === "EACCES") return "this process may not open it";
    return null; // a disk that cannot be read for another reason is still to be protected
  }
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
