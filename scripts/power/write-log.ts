/**
 * Reads the log of a disk's writes that QEMU's `blklogwrites` keeps, in the format of dm-log-writes (Linux,
 * drivers/md/dm-log-writes.c and Documentation/admin-guide/device-mapper/log-writes.rst). Pure but for `openWriteLog`.
 *
 * QEMU (7.2) logs a request when it has completed: what stands before a flush had completed when the flush did. It does not
 * log that a write was a FUA write; the virtio-blk disks that are recorded here make none.
 */
import { closeSync, openSync, readSync } from "node:fs";

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const SUPERBLOCK_BYTES = 28;
const ENTRY_BYTES = 32;
const flag = { flush: 1n, fua: 2n, discard: 4n, mark: 8n } as const;

/** One request that the machine made of its disk. */
export interface LogEntry {
  readonly offsetBytes: number;
  /** 0 for a flush without data, and for a mark. */
  readonly lengthBytes: number;
  /** Everything before this entry is on the disk for good. Its own data, where it has any, is not. */
  readonly flush: boolean;
  /** The entry's own data is on the disk for good when it has completed. */
  readonly fua: boolean;
  /** The range is given up; it reads as zero afterwards. No data in the log. */
  readonly discard: boolean;
  /** A note of whoever made the log; QEMU makes none. */
  readonly mark: boolean;
  /** Where the data is in the log. */
  readonly dataOffsetBytes: number;
}

export interface WriteLog {
  /** Of the disk: what it writes at once or not at all. */
  readonly sectorSizeBytes: number;
  readonly entries: readonly LogEntry[];
}

/** Reads bytes of a log; fewer than asked for at its end. */
export type ReadLog = (offsetBytes: number, lengthBytes: number) => Buffer;

/** Parses a whole log, without its data (pure). @throws Error where it is none, or is cut short. */
export function parseWriteLog(read: ReadLog): WriteLog {
  const superblock = exactly(read, 0, SUPERBLOCK_BYTES);
  if (superblock.readBigUInt64LE(0) !== MAGIC) throw new Error("this is no log of dm-log-writes: its magic is wrong");
  if (superblock.readBigUInt64LE(8) !== VERSION) throw new Error("this log is of another version of dm-log-writes");
  const count = Number(superblock.readBigUInt64LE(16));
  const sectorSizeBytes = superblock.readUInt32LE(24);
  if (sectorSizeBytes < 512 || (sectorSizeBytes & (sectorSizeBytes - 1)) !== 0) {
    throw new Error(`this log says that a sector has ${sectorSizeBytes} bytes`);
  }
  const entries: LogEntry[] = [];
  let position = sectorSizeBytes;
  for (let index = 0; index < count; index += 1) {
    const raw = exactly(read, position, ENTRY_BYTES);
    const flags = raw.readBigUInt64LE(16);
    const isMark = (flags & flag.mark) !== 0n;
    const isDiscard = (flags & flag.discard) !== 0n;
    const lengthBytes = isMark ? 0 : Number(raw.readBigUInt64LE(8)) * sectorSizeBytes;
    entries.push({
      offsetBytes: Number(raw.readBigUInt64LE(0)) * sectorSizeBytes,
      lengthBytes,
      flush: (flags & flag.flush) !== 0n,
      fua: (flags & flag.fua) !== 0n,
      discard: isDiscard,
      mark: isMark,
      dataOffsetBytes: position + sectorSizeBytes,
    });
    position += sectorSizeBytes + (isDiscard ? 0 : lengthBytes); // a mark's text lies in the sector of its entry
  }
  return { sectorSizeBytes, entries };
}

function exactly(read: ReadLog, offsetBytes: number, lengthBytes: number): Buffer {
  const found = read(offsetBytes, lengthBytes);
  if (found.length < lengthBytes)
    throw new Error(`this log ends at byte ${offsetBytes + found.length}, inside an entry`);
  return found;
}

/** A log in a file, and its data. */
export interface OpenWriteLog extends WriteLog, Disposable {
  /** The data of an entry: what a discard leaves behind is zeros. */
  data(entry: LogEntry): Buffer;
}

/** Opens the log in a file. @throws Error where it is none; the error of node:fs. */
export function openWriteLog(path: string): OpenWriteLog {
  const fd = openSync(path, "r");
  const read: ReadLog = (offsetBytes, lengthBytes) => {
    const buffer = Buffer.alloc(lengthBytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, lengthBytes, offsetBytes));
  };
  try {
    return {
      ...parseWriteLog(read),
      data: ({ discard, dataOffsetBytes, lengthBytes }) =>
        discard ? Buffer.alloc(lengthBytes) : exactly(read, dataOffsetBytes, lengthBytes),
      [Symbol.dispose]: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
