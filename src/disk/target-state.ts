/** Whether the target is free, and whether it is still the disk that was chosen. Pure. */
import { ReimageError } from "../errors.ts";
import type { Disk } from "./inventory.ts";
import { type MountInfo, unescapeOctal } from "./mount-info.ts";

/** A line of /proc/swaps. */
export interface Swap {
  readonly path: string;
  /** `partition` or `file` */
  readonly type: string;
}

/** Parses /proc/swaps, octal escapes resolved. */
export function parseSwaps(text: string): Swap[] {
  return text
    .split("\n")
    .slice(1) // the first line is a heading
    .flatMap((line) => {
      const [path, type] = line.split(/\s+/);
      return path === undefined || type === undefined ? [] : [{ path: unescapeOctal(path), type }];
    });
}

/**
 * Finds what uses the disk in this mount namespace. What it cannot see (another namespace, the further disks of a btrfs)
 * still fails the exclusive open.
 * @throws ReimageError `target-busy` that lists every mount, swap and holder on the disk.
 */
export function checkUnused(disk: Disk, mounts: readonly MountInfo[], swaps: readonly Swap[]): void {
  const devices = [disk, ...disk.partitions];
  const paths = devices.map((device) => device.path);
  const numbers = devices.map((device) => device.deviceNumber);
  const uses = [
    ...mounts
      .filter((mount) => numbers.includes(mount.deviceNumber) || paths.includes(mount.source))
      .map((mount) => `${mount.source} is mounted on ${mount.mountPoint}`),
    ...swaps.filter((swap) => paths.includes(swap.path)).map((swap) => `${swap.path} is swap space in use`),
    ...disk.holders.map((holder) => `/dev/${holder} is made of it (device-mapper, RAID or loop)`),
  ];
  if (uses.length === 0) return;
  throw new ReimageError("target-busy", `${disk.path} is in use: ${uses.join("; ")}`, {
    hint: "unmount (umount), switch off (swapoff) or stop (lvm vgchange -an, mdadm --stop, losetup -d) what is listed",
  });
}

/**
 * A disk that has been written already, found again by what it says of itself: a reset link or a reseated cable gives it
 * another number and maybe another name.
 * @throws ReimageError `target` where it is not there, or where no serial number or WWN tells it from another disk.
 */
export function findDiskAgain(before: Disk, now: readonly Disk[]): Disk {
  const isKnown = before.serial !== null || before.wwn !== null;
  const found = now.filter(
    (disk) =>
      disk.serial === before.serial &&
      disk.wwn === before.wwn &&
      disk.sizeBytes === before.sizeBytes &&
      disk.sectorSizeBytes === before.sectorSizeBytes,
  );
  const [disk] = found;
  return isKnown && disk !== undefined && found.length === 1 ? disk : assertSameDisk(before, now);
}

/**
 * The disk as it is now, for the check right before the first write.
 * @throws ReimageError `target` when it is gone, or when its device number belongs to another disk by now.
 */
export function assertSameDisk(before: Disk, now: readonly Disk[]): Disk {
  const current = now.find((disk) => disk.deviceNumber === before.deviceNumber);
  if (current === undefined) {
    throw new ReimageError("target", `${before.path} is gone (device ${before.deviceNumber})`, {
      hint: "check the disk and its cable, then start again",
    });
  }
  const properties = ["path", "diskSequence", "serial", "wwn", "sizeBytes", "sectorSizeBytes"] as const;
  const differences = properties
    .filter((property) => before[property] !== current[property])
    .map((property) => `${property} was ${before[property]} and is ${current[property]}`);
  if (differences.length === 0) return current;
  throw new ReimageError("target", `${before.path} is not the disk that was chosen: ${differences.join(", ")}`, {
    hint: "a disk was plugged in or out meanwhile; start again",
  });
}
