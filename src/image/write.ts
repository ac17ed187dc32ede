/** Streams an image to the target. Nothing else in this program writes the body of a disk. */
import { createHash } from "node:crypto";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { decodeTo } from "./decode.ts";
import type { ImageFormat } from "./formats.ts";
import { headBytes } from "./outline.ts";

/** How much is decoded, hashed and written at a time. */
export const chunkBytes = 4 << 20;

/** How much is written before it is synced, so that progress means the device and dirty pages stay few. */
const syncEveryBytes = 64 << 20;

/** An image that has been judged: where it is now, and what its bytes must be. */
export interface JudgedImage {
  readonly path: string;
  readonly format: ImageFormat;
  readonly sizeBytes: number;
  /** Of the raw bytes, in hex. */
  readonly sha256: string;
}

/** What was written: a fingerprint for every chunk, so that a readback can say where it differs. */
export interface WrittenBody {
  readonly head: Buffer;
  readonly chunkFingerprints: readonly bigint[];
}

/**
 * Decodes the image and writes all of it but its first MiB, which is returned. Decoding, hashing and writing overlap; two
 * chunks are in memory. `onProgress` is told how many more bytes have reached the device.
 * @throws ReimageError `image` where the decoded bytes are not those that were judged, `device-io` where a write fails.
 */
export async function writeBody(
  image: JudgedImage,
  device: BlockDevice,
  onProgress: (bytes: number) => void,
): Promise<WrittenBody> {
  const hash = createHash("sha256");
  const chunkFingerprints: bigint[] = [];
  const buffers = [alignedBuffer(chunkBytes), alignedBuffer(chunkBytes)];
  let head = Buffer.alloc(0);
  let filledBytes = 0;
  let offsetBytes = 0;
  let unsyncedBytes = 0;
  let writing: Promise<void> = Promise.resolve();

  async function writeChunk(data: Buffer, atBytes: number): Promise<void> {
    const heldBack = Math.max(0, headBytes - atBytes);
    if (data.length > heldBack) await device.writeAt(data.subarray(heldBack), atBytes + heldBack);
    unsyncedBytes += data.length;
    if (unsyncedBytes >= syncEveryBytes) await sync();
  }

  async function sync(): Promise<void> {
    await device.sync();
    onProgress(unsyncedBytes);
    unsyncedBytes = 0;
  }

  async function flush(): Promise<void> {
    const data = (buffers[0] as Buffer).subarray(0, filledBytes);
    hash.update(data);
    chunkFingerprints.push(fingerprint(data));
    if (offsetBytes === 0) head = Buffer.from(data.subarray(0, headBytes));
    await writing;
    writing = writeChunk(data, offsetBytes);
    writing.catch(() => {}); // awaited before the next chunk, or at the end
    offsetBytes += filledBytes;
    filledBytes = 0;
    buffers.reverse();
  }

  try {
    const decoded = decodeTo(image.path, image.format, async (piece) => {
      if (offsetBytes + filledBytes + piece.length > image.sizeBytes) return false;
      for (let taken = 0; taken < piece.length; ) {
        const part = piece.subarray(taken, taken + chunkBytes - filledBytes);
        (buffers[0] as Buffer).set(part, filledBytes);
        filledBytes += part.length;
        taken += part.length;
        if (filledBytes === chunkBytes) await flush();
      }
      return true;
    });
    const { isComplete } = await decoded.catch((cause) => {
      throw cause instanceof ReimageError && cause.code === "image" ? notDecoded(image, cause) : cause;
    });
    if (!isComplete) throw notAsJudged(image, "longer");
    if (filledBytes > 0) await flush();
  } finally {
    await writing; // no write may be on its way once this function has ended
  }
  await sync();
  if (offsetBytes !== image.sizeBytes) throw notAsJudged(image, "shorter");
  if (hash.digest("hex") !== image.sha256) throw notAsJudged(image, "different");
  return { head, chunkFingerprints };
}

/** A quick fingerprint of one chunk: it finds the place of a difference; that there is none is sha256's to say. */
export function fingerprint(chunk: Uint8Array): bigint {
  return Bun.hash.xxHash64(chunk);
}

function notDecoded(image: JudgedImage, cause: ReimageError): ReimageError {
  return new ReimageError("image", `image ${image.path} cannot be decoded, although it was whole when it was judged`, {
    cause,
    hint: "start the run again; if this happens twice, test the memory of this machine or the medium that holds the image",
  });
}

function notAsJudged(image: JudgedImage, how: string): ReimageError {
  return new ReimageError("image", `image ${image.path} decoded to ${how} bytes now than when it was judged`, {
    hint: "the memory of this machine or the medium that holds the image is unreliable; test both before the next attempt",
  });
}
