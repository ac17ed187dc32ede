/** Reads of /sys that several files share. A block device is known there by its name (`sda2`), not by its node. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { ReimageError } from "../errors.ts";

/** A partition as the kernel knows it now. */
export interface KernelPartition {
  readonly name: string;
  readonly number: number;
  readonly deviceNumber: string;
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** The partition's own flag, or the disk's. */
  readonly readOnly: boolean;
}

/** sysfs counts in sectors of 512 bytes, whatever the disk's sector size. */
const SYSFS_SECTOR_BYTES = 512;

/** The text of an attribute without surrounding space; null where it is absent or cannot be read (EIO, ENODEV …). */
export async function readAttribute(directory: string, name: string): Promise<string | null> {
  try {
    return (await readFile(join(directory, name), "utf8")).trim();
  } catch (error) {
    if (isSystemError(error)) return null; // an attribute that the device lacks, or cannot answer
    throw error;
  }
}

/** The entries of a directory in order of name; none where it does not exist. */
export async function listDirectory(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (isSystemError(error) && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  }
}

/** The name in /sys/class/block of a device node. @throws ReimageError `device-io` where it is no block device. */
export async function blockDeviceName(path: string): Promise<string> {
  const node = await stat(path).catch((error: unknown) => {
    throw new ReimageError("device-io", `${path} does not exist or cannot be read`, { cause: error });
  });
  if (!node.isBlockDevice()) throw new ReimageError("device-io", `${path} is not a block device`);
  // dev_t as glibc packs it: 12 bits of major above 8 bits of minor, and 12 more bits of minor on top.
  const major = (node.rdev >>> 8) & 0xfff;
  const minor = (node.rdev & 0xff) | ((node.rdev >>> 12) & 0xfff00);
  return basename(await realpath(`/sys/dev/block/${major}:${minor}`));
}

/** The partitions that the kernel knows on a disk, in order of number. */
export async function readKernelPartitions(diskName: string): Promise<KernelPartition[]> {
  const directory = `/sys/class/block/${diskName}`;
  const partitions: KernelPartition[] = [];
  for (const name of await listDirectory(directory)) {
    const number = await readAttribute(join(directory, name), "partition");
    if (number === null) continue;
    const [start, size, deviceNumber, readOnly] = await Promise.all(
      ["start", "size", "dev", "ro"].map((attribute) => readAttribute(join(directory, name), attribute)),
    );
    if (start == null || size == null || deviceNumber == null) continue; // it went away meanwhile
    partitions.push({
      name,
      number: Number(number),
      deviceNumber,
      startBytes: Number(start) * SYSFS_SECTOR_BYTES,
      sizeBytes: Number(size) * SYSFS_SECTOR_BYTES,
      readOnly: readOnly === "1",
    });
  }
  return partitions.sort((a, b) => a.number - b.number);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
