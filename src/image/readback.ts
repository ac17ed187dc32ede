/** Reads the target back, past the page cache, and compares it with the image. */
import { createHash } from "node:crypto";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { digestOf, largestPieceBytes, matches, type Piece } from "./pieces.ts";
import type { JudgedImage, WrittenBody } from "./write.ts";

/** What the device holds. */
export interface Readback {
  /**
   * Of what was read, in hex. Without a block map: sha256 of the whole image. With one: sha256 over the sha256 digests of
   * all pieces, one behind the other, which are the digests of the block map that `reimage pack` writes.
   */
  readonly sha256: string;
  /** The pieces that the device does not hold. */
  readonly wrong: readonly Piece[];
}

const readsInFlight = 6;

/**
 * Reads every piece back from the device; the first MiB, which is not on the device yet, is taken from memory. Reading and
 * hashing overlap.
 * @throws ReimageError `device-io` where the device cannot be read; `image` where the device holds what was written, and
 * that is not the image.
 */
export async function readBack(
  image: JudgedImage,
  written: WrittenBody,
  device: BlockDevice,
  onProgress: (bytes: number) => void,
): Promise<Readback> {
  device.dropCaches();
  const { pieces } = image;
  const isWhole = image.zeros.length === 0 && mappedBytes(pieces) === image.sizeBytes;
  const whole = createHash("sha256");
  const digests: Buffer[] = [];
  const wrong: Piece[] = [];
  const buffers = Array.from({ length: readsInFlight }, () => alignedBuffer(largestPieceBytes));

  async function readPiece(index: number): Promise<Buffer> {
    const piece = pieces[index];
    const buffer = buffers[index % readsInFlight] as Buffer;
    if (piece === undefined) return buffer.subarray(0, 0);
    // Direct reads are whole sectors; the disk is, so there is one even where the image ends within it.
    const wholeBytes = Math.ceil(piece.sizeBytes / device.sectorSizeBytes) * device.sectorSizeBytes;
    await device.readDirectAt(buffer.subarray(0, wholeBytes), piece.offsetBytes);
    buffer.set(written.head.subarray(piece.offsetBytes, piece.offsetBytes + piece.sizeBytes));
    return buffer.subarray(0, piece.sizeBytes);
  }

  async function check(index: number, data: Buffer): Promise<void> {
    const piece = pieces[index];
    const digest = written.digests[index];
    if (piece === undefined || digest === undefined) throw new ReimageError("bug", "a piece was never written");
    const found = isWhole ? null : await digestOf("sha256", data);
    if (found !== null) digests[index] = Buffer.from(found.slice("sha256:".length), "hex");
    if (found !== digest && !(await matches(digest, data))) wrong.push(piece);
    onProgress(data.length);
  }

  const reads = buffers.map((_, index) => settled(readPiece(index)));
  try {
    for (let index = 0; index < pieces.length; index += 1) {
      const slot = index % readsInFlight;
      const data = await (reads[slot] as Promise<Buffer>);
      if (isWhole) whole.update(data); // in order, hence here
      reads[slot] = settled(check(index, data).then(() => readPiece(index + readsInFlight)));
    }
  } finally {
    await Promise.allSettled(reads);
  }
  await Promise.all(reads);
  const sha256 = isWhole ? whole.digest("hex") : createHash("sha256").update(Buffer.concat(digests)).digest("hex");
  if (isWhole && wrong.length === 0 && sha256 !== image.sha256) throw notTheImage(image, sha256);
  return { sha256, wrong: wrong.toSorted((a, b) => a.offsetBytes - b.offsetBytes) };
}

/** The error of a device that does not hold what was written to it, whatever was tried. */
export function readbackError(path: string, wrong: readonly Piece[]): ReimageError {
  const [first] = wrong;
  const more = wrong.length > 1 ? `, and ${wrong.length - 1} more stretches` : "";
  const range = first === undefined ? "" : `bytes ${first.offsetBytes} to ${first.offsetBytes + first.sizeBytes}`;
  return new ReimageError(
    "readback",
    `${path} does not hold what was written to it: ${range}${more} read back differently`,
    { hint: "the disk or its cable is faulty; replace it, do not use this disk" },
  );
}

function mappedBytes(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** A promise that is awaited later; until then its failure is nobody's. */
function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function notTheImage(image: JudgedImage, sha256: string): ReimageError {
  return new ReimageError(
    "image",
    `image ${image.source.name} is not the one that its manifest vouches for: it decodes to sha256 ${sha256}, not ${image.sha256}`,
    { hint: "make the manifest again from this image, or use the image that it was made for" },
  );
}
