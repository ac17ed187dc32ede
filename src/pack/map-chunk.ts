/** Which parts of an image have content: found by looking at every byte, never by the holes of a file alone. Pure. */
import type { Region } from "../image/regions.ts";

/** How much of an image is looked at at a time. No range of the block map crosses a multiple of it. */
export const chunkBytes = 4 << 20;

/** The block of the block map: the page of the kernel, and the sector of a 4Kn disk. */
export const blockBytes = 4096;

/** Zeros between two ranges that are cheaper to write than to seek over; they are counted as content. */
const smallestGapBytes = 64 << 10;

const zeros = Buffer.alloc(chunkBytes);

/** Whether all of `data`, of at most `chunkBytes`, is zero. */
export function isZero(data: Buffer): boolean {
  return zeros.compare(data, 0, data.length, 0, data.length) === 0;
}

/**
 * The regions of `data` with content, in whole blocks (but for the end of an image that is none), relative to its start,
 * in order, with gaps of less than 64 KiB filled.
 * @param data a chunk: at most `chunkBytes`, from a multiple of it in the image
 */
export function mapChunk(data: Buffer): Region[] {
  const regions: Region[] = [];
  if (isZero(data)) return regions;
  let start: number | null = null;
  let end = 0;
  for (let at = 0; at < data.length; at += blockBytes) {
    const to = Math.min(at + blockBytes, data.length);
    if (zeros.compare(data, at, to, at, to) === 0) continue;
    if (start !== null && at - end >= smallestGapBytes) {
      regions.push({ offsetBytes: start, sizeBytes: end - start });
      start = null;
    }
    start ??= at;
    end = to;
  }
  if (start !== null) regions.push({ offsetBytes: start, sizeBytes: end - start });
  return regions;
}
