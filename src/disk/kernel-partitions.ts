/** The kernel's view of a disk's partitions: taking it away, setting it from a table, and checking it. */
import { ReimageError } from "../errors.ts";
import type { PartitionTable } from "./partition-table.ts";

/** Makes the kernel forget all partitions of a disk. @throws ReimageError `target-busy` where one is in use. */
export async function forgetPartitions(_devicePath: string): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}

/** Makes the partitions of a table known to the kernel before the table is on the disk. @throws ReimageError `partition-table` */
export async function addPartitions(_devicePath: string, _table: PartitionTable): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}

/** Makes the kernel read the table that is on the disk. `fd`: an exclusive descriptor the caller already holds. */
export async function rereadPartitions(_devicePath: string, _fd?: number): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}

/** @throws ReimageError `partition-table` where the kernel's partitions differ from the table. */
export async function verifyPartitions(_devicePath: string, _table: PartitionTable): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}

/** The device node of a partition: /dev/sda2, /dev/nvme0n1p2, /dev/loop0p2. */
export function partitionPath(diskPath: string, number: number): string {
  return /\d$/.test(diskPath) ? `${diskPath}p${number}` : `${diskPath}${number}`;
}
