/**
 * What can be known of an image without writing it: its first MiB, its partition table, and what each partition begins
 * with. All of it is caught while the image is decoded once; the raw image is never held.
 */
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { type FileSystem, probeFileSystem } from "../disk/find-filesystem.ts";
import { detectGptSectorSize } from "../disk/gpt.ts";
import { type Partition, type PartitionTable, parsePartitionTable } from "../disk/partition-table.ts";

/** The part of the disk that is cleared first and written last: boot code and partition table. */
export const headBytes = 1 << 20;

/** Enough of a partition for blkid to know any file system, btrfs among them (its superblock lies at 64 KiB). */
const partitionHeadBytes = 128 << 10;
/** A logical partition begins behind its EBR, usually 1 MiB behind; caught with it, since it is not known yet. */
const extendedHeadBytes = (2 << 20) + partitionHeadBytes;

/** A stretch of the image that is caught as it flows past. */
interface Capture {
  readonly startBytes: number;
  readonly data: Buffer;
}

/** What was caught. `table` is null where the image has no valid one; `reason` then says why. */
export interface ImageOutline {
  readonly head: Buffer;
  readonly table: PartitionTable | null;
  readonly reason: string | null;
  /** The beginnings of partitions, for blkid. */
  readonly captures: readonly Capture[];
}

/** Catches an outline from the decoded bytes, which must come in order and without a gap. */
export interface OutlineCollector {
  accept(piece: Uint8Array): void;
  /** Whether nothing that is still to come matters. */
  isComplete(): boolean;
  finish(): ImageOutline;
}

/** @param sectorSizeBytes the target's, for an MBR, which does not say its own. A GPT's is known by where it lies. */
export function createOutlineCollector(sectorSizeBytes: number): OutlineCollector {
  const captures: Capture[] = [{ startBytes: 0, data: Buffer.alloc(headBytes) }];
  let positionBytes = 0;
  let table: PartitionTable | null = null;
  let reason: string | null = null;

  function copyFrom(piece: Uint8Array, pieceStartBytes: number, into: Capture): void {
    const from = Math.max(pieceStartBytes, into.startBytes);
    const to = Math.min(pieceStartBytes + piece.length, into.startBytes + into.data.length);
    if (from < to) into.data.set(piece.subarray(from - pieceStartBytes, to - pieceStartBytes), from - into.startBytes);
  }

  function read(offsetBytes: number, lengthBytes: number): Buffer | null {
    if (offsetBytes + lengthBytes > positionBytes) return null;
    for (const { startBytes, data } of captures) {
      const at = offsetBytes - startBytes;
      if (at >= 0 && at + lengthBytes <= data.length) return data.subarray(at, at + lengthBytes);
    }
    return null;
  }

  /** Catches a further stretch, unless a part of it has flowed past that is neither in the head nor in this piece. */
  function capture(startBytes: number, lengthBytes: number, piece: Uint8Array, pieceStartBytes: number): boolean {
    const endBytes = startBytes + lengthBytes;
    if (captures.some((c) => startBytes >= c.startBytes && endBytes <= c.startBytes + c.data.length)) return true;
    if (Math.max(startBytes, headBytes) < Math.min(endBytes, pieceStartBytes)) return false;
    const added = { startBytes, data: Buffer.alloc(lengthBytes) };
    const head = captures[0];
    if (head !== undefined) copyFrom(head.data, 0, added);
    copyFrom(piece, pieceStartBytes, added);
    captures.push(added);
    return true;
  }

  function judge(piece: Uint8Array, pieceStartBytes: number): void {
    function capturePartitions(partitions: readonly Partition[]): void {
      for (const { startBytes, kind } of partitions) {
        if (kind !== "extended") capture(startBytes, partitionHeadBytes, piece, pieceStartBytes);
      }
    }
    while (table === null && reason === null) {
      const head = read(0, Math.min(headBytes, positionBytes));
      if (head === null || head.length < Math.min(headBytes, 8192)) return;
      const tableSectorBytes = detectGptSectorSize(head) ?? sectorSizeBytes;
      const parsed = parsePartitionTable(read, tableSectorBytes);
      if (parsed.kind === "none") {
        reason = parsed.reason;
      } else if (parsed.kind === "table") {
        table = parsed.table;
        capturePartitions(table.partitions);
      } else {
        // Primary partitions lie before the logical ones, whose chain has only begun: without it they are known.
        const withoutChain = (offset: number, length: number) => read(offset, length) ?? Buffer.alloc(length);
        const early = parsePartitionTable(withoutChain, tableSectorBytes);
        if (early.kind === "table") capturePartitions(early.table.partitions);
        if (!capture(parsed.offsetBytes, extendedHeadBytes, piece, pieceStartBytes)) {
          reason = `its table goes backwards, to byte ${parsed.offsetBytes}`;
        } else if (parsed.offsetBytes + parsed.lengthBytes > positionBytes) return;
      }
    }
  }

  return {
    accept(piece) {
      const pieceStartBytes = positionBytes;
      positionBytes += piece.length;
      for (const each of captures) copyFrom(piece, pieceStartBytes, each);
      if (positionBytes >= headBytes) judge(piece, pieceStartBytes);
    },
    isComplete() {
      const ends = captures.map((c) => c.startBytes + c.data.length);
      return (table !== null || reason !== null) && positionBytes >= Math.max(...ends);
    },
    finish() {
      judge(Buffer.alloc(0), positionBytes);
      const head = (captures[0]?.data ?? Buffer.alloc(0)).subarray(0, Math.min(headBytes, positionBytes));
      if (table === null) reason ??= `it ends at byte ${positionBytes}, before its table does`;
      const caught = captures.filter((c) => c.startBytes < positionBytes);
      return { head, table, reason, captures: caught };
    },
  };
}

/** A partition of the image with what blkid knows of it. `wasSeen` is false where its beginning was not caught. */
export interface OutlinedPartition extends Partition {
  readonly wasSeen: boolean;
  readonly fileSystem: FileSystem | null;
}

/** Asks blkid what each partition holds, by a sparse file at `scratchPath` with nothing in it but what was caught. */
export async function probePartitions(outline: ImageOutline, scratchPath: string): Promise<OutlinedPartition[]> {
  if (outline.table === null) return [];
  const { partitions, lastUsedByteEnd } = outline.table;
  const fd = openSync(scratchPath, "w", 0o600);
  try {
    ftruncateSync(fd, lastUsedByteEnd);
    for (const { startBytes, data } of outline.captures) writeSync(fd, data, 0, data.length, startBytes);
    const probed: OutlinedPartition[] = [];
    for (const partition of partitions) {
      const { startBytes, sizeBytes } = partition;
      const neededBytes = Math.min(partitionHeadBytes, sizeBytes);
      const wasSeen = outline.captures.some(
        (c) => startBytes >= c.startBytes && startBytes + neededBytes <= c.startBytes + c.data.length,
      );
      const isProbed = wasSeen && partition.kind !== "extended";
      const fileSystem = isProbed ? await probeFileSystem(scratchPath, { offsetBytes: startBytes, sizeBytes }) : null;
      probed.push({ ...partition, wasSeen, fileSystem });
    }
    return probed;
  } finally {
    closeSync(fd);
    rmSync(scratchPath, { force: true });
  }
}
