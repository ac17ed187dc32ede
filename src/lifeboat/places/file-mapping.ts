/** Where the bytes of an open file lie on the disk, and giving it blocks there. */
import type { FileHandle } from "node:fs/promises";
import type { Disk } from "../../disk/disk.ts";
import { ReimageError } from "../../errors.ts";
import { type Region, subtractRegions } from "../../image/regions.ts";
import { allocateRange, SystemCallError } from "../../system/libc.ts";
import { readDeviceSegments } from "./device-segments.ts";
import { extentFlags, findExtentTrouble, readFileExtents } from "./fiemap.ts";
import { composeSegments, extentSegments, type Segment, segmentsWithin } from "./segments.ts";

const pieceBytes = 1 << 20;
/** Both names have the same number. */
const noReservation = ["EOPNOTSUPP", "ENOTSUP"];

/**
 * The file on the disk, and `trouble` where its data is not simply there.
 * @param isFresh blocks that are allocated and not written are no trouble
 */
export function mapFile(
  fd: number,
  device: readonly Segment[],
  isFresh: boolean,
): { readonly segments: Segment[]; readonly trouble: string | null } {
  const extents = readFileExtents(fd);
  const trouble = findExtentTrouble(extents, isFresh ? extentFlags.unwritten : 0);
  return { segments: composeSegments(extentSegments(extents), device), trouble };
}

/**
 * What is wrong with a file that should lie at `segments` on the disk and be written there, or null. The device is asked
 * anew: a logical volume can be moved under a file system in use.
 */
export async function findMove(
  fd: number,
  device: string,
  disk: Disk,
  segments: readonly Segment[],
  regions: readonly Region[],
): Promise<string | null> {
  const now = mapFile(fd, await readDeviceSegments(device, disk), false);
  if (now.trouble !== null) return `the file's data is ${now.trouble}`;
  return Bun.deepEquals(segmentsWithin(now.segments, regions), [...segments]) ? null : "the file's data was moved";
}

/** Gives the file blocks of its own up to `sizeBytes`. Whether there was room. */
export async function growFile(file: FileHandle, fromBytes: number, sizeBytes: number): Promise<boolean> {
  try {
    try {
      allocateRange(file.fd, "reserve", fromBytes, sizeBytes - fromBytes);
    } catch (error) {
      if (!(error instanceof SystemCallError) || !noReservation.includes(error.code)) throw error;
      // ext2 and ext3 cannot reserve: there, what is written has blocks.
      await writeZeros(file, { offsetBytes: fromBytes, sizeBytes: sizeBytes - fromBytes });
    }
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOSPC") return false;
    throw error;
  }
}

/** Gives everything but `kept` back to the file system. */
export function shrinkFile(fd: number, sizeBytes: number, kept: readonly Region[]): void {
  for (const hole of subtractRegions([{ offsetBytes: 0, sizeBytes }], kept)) {
    allocateRange(fd, "punch", hole.offsetBytes, hole.sizeBytes);
  }
}

export async function writeZeros(file: FileHandle, { offsetBytes, sizeBytes }: Region): Promise<void> {
  const zeros = Buffer.alloc(Math.min(pieceBytes, sizeBytes));
  for (let done = 0; done < sizeBytes; done += zeros.length) {
    await writeWhole(file, zeros.subarray(0, Math.min(zeros.length, sizeBytes - done)), offsetBytes + done);
  }
}

/** Writes what belongs at an absolute byte of the disk through the file. @throws ReimageError `lifeboat` */
export async function writeThrough(
  file: FileHandle,
  segments: readonly Segment[],
  data: Uint8Array,
  diskOffsetBytes: number,
): Promise<void> {
  const wanted = { offsetBytes: diskOffsetBytes, sizeBytes: data.length };
  for (const { fromBytes, toBytes, sizeBytes } of segmentsWithin(segments, [wanted])) {
    const start = toBytes - diskOffsetBytes;
    await writeWhole(file, data.subarray(start, start + sizeBytes), fromBytes);
  }
}

async function writeWhole(file: FileHandle, data: Uint8Array, offsetBytes: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offsetBytes + done);
    if (bytesWritten <= 0) throw new ReimageError("lifeboat", "writing the lifeboat's file: nothing was written");
    done += bytesWritten;
  }
}
