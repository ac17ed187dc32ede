/** Divides an image into the stretches that are packed one by one, so that a reader can leave out what is not mapped. */
import type { Region } from "../image/regions.ts";

/** A stretch of the image: content, which the receiver owns from now on, or nothing but zeros. */
export type RawSegment =
  | { readonly kind: "content"; readonly offsetBytes: number; readonly data: Buffer }
  | { readonly kind: "zeros"; readonly offsetBytes: number; readonly sizeBytes: number };

/** Content is cut at multiples of this: small enough to be packed in parallel, large enough to be packed well. */
export const segmentBytes = 16 << 20;

/** Zeros that are worth a segment of their own; fewer are packed with the content around them. */
const leastZerosBytes = 1 << 20;

const smallZeros = Buffer.alloc(leastZerosBytes);

/** Takes the image chunk by chunk, in order and without a gap. */
export interface Segmenter {
  /** @param regions what of `data` has content, relative to its start. `data` is only lent. */
  accept(data: Buffer, regions: readonly Region[]): Promise<void>;
  finish(): Promise<void>;
}

/**
 * Hands the segments of an image to `emit`, in order and without a gap. No region of content lies in two of them, as long as
 * none crosses a multiple of 16 MiB.
 * @param takeBuffer gives memory of `segmentBytes`, which is handed over with the segment
 */
export function createSegmenter(takeBuffer: () => Buffer, emit: (segment: RawSegment) => Promise<void>): Segmenter {
  let buffer: Buffer | null = null;
  let startBytes = 0;
  let filledBytes = 0;
  /** Zeros behind what is in the buffer, of which nobody knows yet whose they are. */
  let zerosBytes = 0;

  async function flush(): Promise<void> {
    if (buffer === null || filledBytes === 0) return;
    const segment = { kind: "content", offsetBytes: startBytes, data: buffer.subarray(0, filledBytes) } as const;
    startBytes += filledBytes;
    filledBytes = 0;
    buffer = null;
    await emit(segment);
  }

  async function append(data: Buffer): Promise<void> {
    for (let taken = 0; taken < data.length; ) {
      const roomBytes = segmentBytes - ((startBytes + filledBytes) % segmentBytes);
      const part = data.subarray(taken, taken + roomBytes);
      buffer ??= takeBuffer();
      buffer.set(part, filledBytes);
      filledBytes += part.length;
      taken += part.length;
      if (part.length === roomBytes) await flush();
    }
  }

  async function settleZeros(): Promise<void> {
    const sizeBytes = zerosBytes;
    zerosBytes = 0;
    if (sizeBytes < leastZerosBytes) return await append(smallZeros.subarray(0, sizeBytes));
    await flush();
    const offsetBytes = startBytes;
    startBytes += sizeBytes;
    await emit({ kind: "zeros", offsetBytes, sizeBytes });
  }

  return {
    async accept(data, regions) {
      let atBytes = 0;
      for (const { offsetBytes, sizeBytes } of regions) {
        zerosBytes += offsetBytes - atBytes;
        await settleZeros();
        atBytes = offsetBytes + sizeBytes;
        await append(data.subarray(offsetBytes, atBytes));
      }
      zerosBytes += data.length - atBytes;
    },
    async finish() {
      await settleZeros();
      await flush();
    },
  };
}
