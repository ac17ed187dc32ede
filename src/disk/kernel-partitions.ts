/** The kernel's view of a disk's partitions: taking it away, setting it from a table, and checking it. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError, ReimageError } from "../errors.ts";
import { lockExclusive, SystemCallError } from "../system/libc.ts";
import { changePartition, getReadOnly, getSectorSizeBytes, getSizeBytes, rereadTable } from "./block-ioctls.ts";
import { type PartitionTable, parsePartitionTable, type ReadBytes } from "./partition-table.ts";
import { blockDeviceName, type KernelPartition, readKernelPartitions } from "./sysfs.ts";

/** A busy device mostly is so for a moment (a probe by somebody else), so two seconds are granted. */
const ATTEMPTS = 20;
const ATTEMPT_MS = 100;

/** The device node of a partition: /dev/sda2, /dev/nvme0n1p2, /dev/loop0p2. */
export function partitionPath(diskPath: string, number: number): string {
  return /\d$/.test(diskPath) ? `${diskPath}p${number}` : `${diskPath}${number}`;
}

/** Makes the kernel forget all partitions of a disk. @throws ReimageError `target-busy` where one is in use. */
export async function forgetPartitions(devicePath: string): Promise<void> {
  await withDevice(devicePath, (fd) => applyPartitions(devicePath, fd, []));
}

/**
 * Makes the kernel's partitions those of `table`, which need not be on the disk yet. What already agrees is left alone.
 * @throws ReimageError `target-busy` where a partition in use would have to change, `partition-table` otherwise.
 */
export async function addPartitions(devicePath: string, table: PartitionTable): Promise<void> {
  await withDevice(devicePath, (fd) => applyPartitions(devicePath, fd, kernelView(table)));
  await verifyPartitions(devicePath, table);
}

/**
 * Makes the kernel's partitions those of the table that is on the disk: by BLKRRPART, and by BLKPG where that is refused
 * or finds something else (busy partitions that did not change, a loop device, a kernel without that table's parser).
 * `fd` is an exclusive descriptor that the caller holds, without which the kernel would answer EBUSY.
 * @throws ReimageError `target-busy` where a partition in use would have to change, `partition-table` otherwise.
 */
export async function rereadPartitions(devicePath: string, fd?: number): Promise<void> {
  await withDevice(devicePath, async (own, handle) => {
    // Others (systemd-udevd, sfdisk) keep away from a whole disk whose lock is held: systemd.io/BLOCK_DEVICE_LOCKING.
    await retryWhile("EWOULDBLOCK", () => lockExclusive(own, devicePath));
    try {
      await retryWhile("EBUSY", () => rereadTable(fd ?? own));
    } catch (error) {
      const expected = error instanceof SystemCallError && (error.code === "EBUSY" || error.code === "EINVAL");
      if (!expected) throw failed(devicePath, error);
    }
    const table = await readTable(devicePath, handle);
    await applyPartitions(devicePath, own, table === null ? [] : kernelView(table));
    if (table !== null) await verifyPartitions(devicePath, table);
  });
}

/** @throws ReimageError `partition-table` where the kernel's partitions or their device nodes differ from the table. */
export async function verifyPartitions(devicePath: string, table: PartitionTable): Promise<void> {
  const known = await readKernelPartitions(await blockDeviceName(devicePath));
  const wanted = kernelView(table);
  const differences = [
    ...wanted
      .filter((w) => !known.some((k) => isSame(k, w)))
      .map((w) => `partition ${w.number} of the table is not known`),
    ...known.filter((k) => !wanted.some((w) => isSame(k, w))).map((k) => `${k.name} is not in the table`),
  ];
  for (const { number } of wanted) {
    const node = await stat(partitionPath(devicePath, number)).catch(() => null);
    if (node === null || !node.isBlockDevice()) differences.push(`${partitionPath(devicePath, number)} does not exist`);
  }
  if (differences.length === 0) return;
  throw new ReimageError(
    "partition-table",
    `the kernel's partitions of ${devicePath} differ from its table: ${differences.join(", ")}`,
    {
      hint: "restart the machine: the kernel reads the table again",
    },
  );
}

type Wanted = Pick<KernelPartition, "number" | "startBytes" | "sizeBytes">;

/**
 * The partitions as the kernel's own parser would make them: of an extended partition only the first KiB (one sector
 * where that is larger), so that nobody makes a file system over the logical ones.
 */
function kernelView(table: PartitionTable): Wanted[] {
  return table.partitions.map((partition) => {
    if (partition.kind !== "extended") return partition;
    const shown = Math.min(partition.sizeBytes, Math.max(table.sectorSizeBytes, 1024));
    const gaps = table.partitions
      .filter((other) => other.kind === "logical")
      .map((logical) => logical.startBytes - partition.startBytes);
    return { ...partition, sizeBytes: Math.min(shown, ...gaps) };
  });
}

function isSame(known: Wanted, wanted: Wanted): boolean {
  return (
    known.number === wanted.number && known.startBytes === wanted.startBytes && known.sizeBytes === wanted.sizeBytes
  );
}

/**
 * Removes what is not wanted, then adds what is missing. A partition that a killed run left read-only is made anew,
 * because its flag would outlive the old OS that it protected.
 */
async function applyPartitions(devicePath: string, fd: number, wanted: readonly Wanted[]): Promise<void> {
  const stale = getReadOnly(fd) ? () => false : (partition: KernelPartition) => partition.readOnly;
  const all = await readKernelPartitions(await blockDeviceName(devicePath));
  const known = all.filter((partition) => !stale(partition));
  for (const partition of all.filter((k) => stale(k) || !wanted.some((w) => isSame(k, w)))) {
    try {
      await retryWhile("EBUSY", () => changePartition(fd, "delete", partition));
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.code === "ENXIO") continue; // somebody else removed it first
      if (error.code !== "EBUSY") throw failed(devicePath, error);
      throw new ReimageError("target-busy", `/dev/${partition.name} is in use, so the kernel cannot forget it`, {
        cause: error,
        hint: "unmount it and stop what holds it (lsblk shows both), then start again",
      });
    }
  }
  for (const partition of wanted.filter((w) => !known.some((k) => isSame(k, w)))) {
    try {
      changePartition(fd, "add", partition);
    } catch (error) {
      throw failed(`partition ${partition.number} of ${devicePath}`, error);
    }
  }
}

/** The partition table that is on a disk now; null where there is none. @throws ReimageError `device-io` */
export async function readPartitionTable(devicePath: string): Promise<PartitionTable | null> {
  return await withDevice(devicePath, (_, handle) => readTable(devicePath, handle));
}

async function readTable(devicePath: string, handle: FileHandle): Promise<PartitionTable | null> {
  const pieces = new Map<string, Buffer>();
  const read: ReadBytes = (offsetBytes, lengthBytes) => pieces.get(`${offsetBytes}+${lengthBytes}`) ?? null;
  const sizeBytes = getSizeBytes(handle.fd);
  const sectorSizeBytes = getSectorSizeBytes(handle.fd);
  for (;;) {
    const parsed = parsePartitionTable(read, sectorSizeBytes);
    if (parsed.kind === "table") return parsed.table;
    if (parsed.kind === "none") return null;
    const { offsetBytes, lengthBytes } = parsed;
    const piece = Buffer.alloc(lengthBytes);
    // What lies behind the end of the disk reads as zeros, which no table accepts as a part of itself.
    if (offsetBytes < sizeBytes) {
      await handle.read(piece, 0, lengthBytes, offsetBytes).catch((error: unknown) => {
        throw new ReimageError("device-io", `reading the partition table of ${devicePath} at byte ${offsetBytes}`, {
          cause: error,
        });
      });
    }
    pieces.set(`${offsetBytes}+${lengthBytes}`, piece);
  }
}

async function withDevice<T>(devicePath: string, use: (fd: number, handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(devicePath, "r").catch((error: unknown) => {
    throw new ReimageError("device-io", `opening ${devicePath}: ${describeError(error)}`, { cause: error });
  });
  try {
    return await use(handle.fd, handle);
  } finally {
    await handle.close();
  }
}

async function retryWhile(code: "EBUSY" | "EWOULDBLOCK", attempt: () => void): Promise<void> {
  const codes = code === "EWOULDBLOCK" ? ["EWOULDBLOCK", "EAGAIN"] : [code];
  for (let tries = 1; ; tries++) {
    try {
      return attempt();
    } catch (error) {
      const again = error instanceof SystemCallError && codes.includes(error.code) && tries < ATTEMPTS;
      if (!again) throw error;
    }
    await sleep(ATTEMPT_MS);
  }
}

function failed(object: string, cause: unknown): ReimageError {
  return new ReimageError("partition-table", `the kernel did not take ${object}: ${describeError(cause)}`, { cause });
}
