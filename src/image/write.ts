/** Puts the body of an image onto the target. Nothing else in this program writes the body of a disk. */
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { headBytes } from "./outline.ts";
import { type Digest, digestOf, largestPieceBytes, matches, type Piece } from "./pieces.ts";
import { type OpenImage, openRawReader } from "./raw-reader.ts";
import { overlapsAny, type Region } from "./regions.ts";

/** An image that has been judged: it is open, and it is known what its bytes must be. */
export interface JudgedImage extends OpenImage {
  /** What is written, in order. Without a block map that is all of the image. */
  readonly pieces: readonly Piece[];
  /** What is not in `pieces`, where the image expects zeros there. */
  readonly zeros: readonly Region[];
  /** Of the raw image, in hex. */
  readonly sha256: string;
}

/** What was written, for the readback to compare. */
export interface WrittenBody {
  /** The first MiB of the image, or less where it is smaller; it is not on the device. */
  readonly head: Buffer;
  /** Of each piece of the image, in order. */
  readonly digests: readonly Digest[];
}

export interface WriteOptions {
  /** Regions of the device that must not be touched. An image with a piece in one of them is refused. */
  readonly skip: readonly Region[];
  /** Whether zeros are written like any other data, for a device that only claims to zero. */
  readonly writesZeros?: boolean;
  /** Told how many more bytes have reached the device. */
  onProgress(bytes: number): void;
}

/** How many pieces are decoded, checked and written at the same time. */
const piecesInFlight = 6;

/** The device's own cache is flushed this often, so that its errors are noticed early and the last flush is short. */
const flushEveryBytes = 256 << 20;

/**
 * Decodes the pieces, checks each before it is written, and writes all but the first MiB of the disk, which is returned.
 * Reading, decoding, checking and writing overlap. Direct writes: they measured better than buffered ones (docs/benchmarks.md),
 * and a byte that is counted has left this machine's memory.
 * @throws ReimageError `image` where the decoded bytes are not those that were judged: they have not been written then;
 * `device-io` where a write fails; `bug` where a piece lies in a region that must not be touched.
 */
export async function writePieces(
  image: OpenImage,
  pieces: readonly Piece[],
  device: BlockDevice,
  { skip, writesZeros = false, onProgress }: WriteOptions,
): Promise<WrittenBody> {
  const touched = pieces.find((piece) => overlapsAny(piece, skip));
  if (touched !== undefined) {
    throw new ReimageError("bug", `the image has content at byte ${touched.offsetBytes}, which must not be written`);
  }
  const head = Buffer.alloc(Math.min(headBytes, image.sizeBytes));
  const digests: Digest[] = [];
  const buffers = Array.from({ length: piecesInFlight }, () => alignedBuffer(largestPieceBytes));
  const jobs: Promise<void>[] = buffers.map(() => Promise.resolve());
  let unflushedBytes = 0;

  async function writePiece(piece: Piece, index: number, buffer: Buffer): Promise<void> {
    const data = buffer.subarray(0, piece.sizeBytes);
    if (piece.digest !== null && !(await matches(piece.digest, data))) throw notAsJudged(image, piece);
    digests[index] = piece.digest ?? (await digestOf("xxh64", data));
    if (piece.offsetBytes < headBytes) head.set(data.subarray(0, headBytes - piece.offsetBytes), piece.offsetBytes);
    const heldBackBytes = Math.max(0, headBytes - piece.offsetBytes);
    if (heldBackBytes < data.length) {
      // Direct writes are whole sectors: what the image leaves over of its last one becomes zeros.
      const wholeBytes = Math.ceil(data.length / device.sectorSizeBytes) * device.sectorSizeBytes;
      buffer.fill(0, data.length, wholeBytes);
      const body = buffer.subarray(heldBackBytes, wholeBytes);
      const atBytes = piece.offsetBytes + heldBackBytes;
      // Zeros need not be transferred: BLKZEROOUT leaves them to the device where it can, and writes them where it cannot.
      const isZeroed = !writesZeros && body.equals(noData.subarray(0, body.length));
      await (isZeroed ? device.zeroRange(atBytes, body.length) : device.writeDirectAt(body, atBytes));
    }
    onProgress(piece.sizeBytes);
  }

  await using reader = openRawReader(image, pieces);
  try {
    for (const [index, piece] of pieces.entries()) {
      const slot = index % piecesInFlight;
      const buffer = buffers[slot] as Buffer;
      await jobs[slot]; // its buffer is free then, and a failure stops everything
      await reader.readAt(buffer.subarray(0, piece.sizeBytes), piece.offsetBytes);
      const job = writePiece(piece, index, buffer);
      job.catch(() => {}); // awaited when its slot is needed again, or at the end
      jobs[slot] = job;
      unflushedBytes += piece.sizeBytes;
      if (unflushedBytes < flushEveryBytes) continue;
      await Promise.all(jobs);
      await device.sync();
      unflushedBytes = 0;
    }
    // What nobody has taken a digest of could be longer than it should be.
    if (pieces.some(({ digest }) => digest === null)) await reader.finish();
    await Promise.all(jobs);
  } finally {
    await Promise.allSettled(jobs); // no write may be on its way once this function has ended
  }
  await device.sync();
  return { head, digests };
}

const noData = Buffer.alloc(largestPieceBytes);

function notAsJudged(image: OpenImage, { offsetBytes, sizeBytes }: Region): ReimageError {
  return new ReimageError(
    "image",
    `image ${image.source.name} decodes to different bytes than when it was judged: from ${offsetBytes} to ${offsetBytes + sizeBytes}`,
    {
      hint: "the memory of this machine or the medium that holds the image is unreliable; test both before the next attempt",
    },
  );
}
