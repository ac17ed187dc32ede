/** The ioctls of block devices (linux/fs.h, linux/blkpg.h), by descriptor. All of them return quickly. */
import { addressOf, ioctl } from "../system/libc.ts";

const BLKROSET = 0x125d;
const BLKROGET = 0x125e;
const BLKRRPART = 0x125f;
const BLKFLSBUF = 0x1261;
const BLKSSZGET = 0x1268;
const BLKPG = 0x1269;
const BLKZEROOUT = 0x127f;
const BLKGETSIZE64 = 0x80081272;

/** The size of the device. */
export function getSizeBytes(fd: number): number {
  const size = Buffer.alloc(8);
  ioctl(fd, BLKGETSIZE64, size, "BLKGETSIZE64");
  return Number(size.readBigUInt64LE());
}

/** The logical sector size. */
export function getSectorSizeBytes(fd: number): number {
  const size = Buffer.alloc(4);
  ioctl(fd, BLKSSZGET, size, "BLKSSZGET");
  return size.readInt32LE();
}

/** Whether the kernel refuses writes to the device. */
export function getReadOnly(fd: number): boolean {
  const flag = Buffer.alloc(4);
  ioctl(fd, BLKROGET, flag, "BLKROGET");
  return flag.readInt32LE() !== 0;
}

/** Makes the kernel refuse writes to the device, or accept them again. Descriptors that are open for writing keep it. */
export function putReadOnly(fd: number, readOnly: boolean): void {
  const flag = Buffer.alloc(4);
  flag.writeInt32LE(readOnly ? 1 : 0);
  ioctl(fd, BLKROSET, flag, "BLKROSET");
}

/** Makes the kernel read the partition table. EBUSY while a partition is in use, EINVAL where it may not scan. */
export function rereadTable(fd: number): void {
  ioctl(fd, BLKRRPART, null, "BLKRRPART");
}

/** Drops the device's cached pages, dirty ones after writing them. */
export function flushBuffers(fd: number): void {
  ioctl(fd, BLKFLSBUF, null, "BLKFLSBUF");
}

/** Writes zeros; offset and size in whole 512-byte sectors. */
export function zeroOut(fd: number, offsetBytes: number, sizeBytes: number): void {
  const range = Buffer.alloc(16);
  range.writeBigUInt64LE(BigInt(offsetBytes), 0);
  range.writeBigUInt64LE(BigInt(sizeBytes), 8);
  ioctl(fd, BLKZEROOUT, range, "BLKZEROOUT");
}

/** Tells the kernel of a partition, or that there is none any more, without touching the disk. */
export function changePartition(
  fd: number,
  operation: "add" | "delete",
  partition: { readonly number: number; readonly startBytes: number; readonly sizeBytes: number },
): void {
  const description = Buffer.alloc(152); // struct blkpg_partition: start, length, number, two names that nothing reads
  description.writeBigInt64LE(BigInt(partition.startBytes), 0);
  description.writeBigInt64LE(BigInt(partition.sizeBytes), 8);
  description.writeInt32LE(partition.number, 16);
  const argument = Buffer.alloc(24); // struct blkpg_ioctl_arg: operation, flags, length and address of the description
  argument.writeInt32LE(operation === "add" ? 1 : 2, 0);
  argument.writeInt32LE(description.length, 8);
  argument.writeBigUInt64LE(addressOf(description), 16);
  ioctl(fd, BLKPG, argument, `BLKPG ${operation} partition ${partition.number}`);
}
