/** Packs segments side by side and writes them in order, with what the manifest says of them. */
import { createHash } from "node:crypto";
import type { Segment } from "../image/manifest/manifest.ts";
import { type Compress, parallelSegments } from "./compressor.ts";
import { type RawSegment, segmentBytes } from "./segmenter.ts";

/** The largest stretch of zeros in one frame or stream: what decodes it needs no more memory than for content. */
const zerosBytes = 64 << 20;

/** What was written. */
export interface PackedFile {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly segments: readonly Segment[];
}

/** Takes segments in the order of the image. At most `parallelSegments` of them are in memory beside the one being filled. */
export interface SegmentWriter extends AsyncDisposable {
  /** Memory for a segment of content. */
  takeBuffer(): Buffer;
  /** Resolves when there is room for the next one. @throws what `compress` or `write` of an earlier one has thrown. */
  add(segment: RawSegment): Promise<void>;
  finish(): Promise<PackedFile>;
}

/** @param write appends to the packed file */
export function createSegmentWriter(compress: Compress, write: (data: Buffer) => Promise<void>): SegmentWriter {
  const hash = createHash("sha256");
  const segments: Segment[] = [];
  const freeBuffers: Buffer[] = [];
  const zeroFrames = new Map<number, Promise<Buffer>>();
  const queue: Promise<void>[] = [];
  const running = new Set<Promise<unknown>>();
  let zeros: Buffer | null = null;
  let written: Promise<void> = Promise.resolve();
  let sizeBytes = 0;

  async function append(frame: Buffer): Promise<void> {
    hash.update(frame);
    await write(frame);
    sizeBytes += frame.length;
  }

  function compressZeros(count: number): Promise<Buffer> {
    zeros ??= Buffer.alloc(zerosBytes);
    const frame = zeroFrames.get(count) ?? start(zeros.subarray(0, count));
    zeroFrames.set(count, frame);
    return frame;
  }

  function start(data: Buffer): Promise<Buffer> {
    const frame = compress(data);
    const settled = frame.then(
      () => void running.delete(settled),
      () => void running.delete(settled), // whoever waits for the frame is told; nobody may, where an earlier one failed
    );
    running.add(settled);
    return frame;
  }

  async function writeZeros(count: number): Promise<void> {
    for (let left = count; left > 0; left -= zerosBytes) await append(await compressZeros(Math.min(left, zerosBytes)));
  }

  function enqueue(segment: RawSegment): Promise<void> {
    const frame = segment.kind === "content" ? start(segment.data) : null;
    const before = written;
    return (async () => {
      await before;
      const offsetBytes = sizeBytes;
      const rawSizeBytes = segment.kind === "content" ? segment.data.length : segment.sizeBytes;
      if (frame === null) await writeZeros(rawSizeBytes);
      else await append(await frame);
      segments.push({
        offsetBytes,
        sizeBytes: sizeBytes - offsetBytes,
        rawOffsetBytes: segment.offsetBytes,
        rawSizeBytes,
      });
      if (segment.kind === "content")
        freeBuffers.push(Buffer.from(segment.data.buffer, segment.data.byteOffset, segmentBytes));
    })();
  }

  return {
    takeBuffer: () => freeBuffers.pop() ?? Buffer.allocUnsafeSlow(segmentBytes),
    async add(segment) {
      written = enqueue(segment);
      written.catch(() => {}); // the next one, or finish(), throws it
      queue.push(written);
      if (queue.length >= parallelSegments) await queue.shift();
    },
    async finish() {
      await written;
      return { sizeBytes, sha256: hash.digest("hex"), segments };
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...queue, ...running]);
    },
  };
}
