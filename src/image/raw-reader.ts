/** The raw bytes of an image, in order, decoding only as much of its file as has to be. */
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { openDecoder } from "./decode.ts";
import type { ImageFormat } from "./formats.ts";
import type { Segment } from "./manifest/manifest.ts";
import type { Region } from "./regions.ts";

/** An image file that is open, and what is known of its inside. */
export interface OpenImage {
  readonly source: ByteSource;
  readonly format: ImageFormat;
  /** Of the raw image. */
  readonly sizeBytes: number;
  /** Null where the file can be decoded as a whole only. */
  readonly segments: readonly Segment[] | null;
}

/** See `openRawReader`. */
export interface RawReader extends AsyncDisposable {
  /**
   * Fills `buffer` with the bytes of the image from `offsetBytes` on. Offsets must not go backwards.
   * @throws ReimageError `image` where the image ends too early or cannot be decoded.
   */
  readAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Reads what is left of the image, and makes sure that it ends where it should.
   * @throws ReimageError `image` where it does not.
   */
  finish(): Promise<void>;
}

const discardBytes = 1 << 20;

/**
 * Starts reading. Where the image has segments, those without a byte of `wanted` are left out: they are not even read from
 * the source. What is asked for later must lie within `wanted`, whose regions are in order.
 */
export function openRawReader(image: OpenImage, wanted: readonly Region[]): RawReader {
  const whole = { offsetBytes: 0, sizeBytes: image.source.sizeBytes, rawOffsetBytes: 0, rawSizeBytes: image.sizeBytes };
  const segments = image.segments === null ? [whole] : wantedSegments(image.segments, wanted);
  const runs = joinAdjacent(segments);
  const decoder = openDecoder(image.format, readRuns(image.source, runs), image.source.name);
  const scratch = Buffer.alloc(discardBytes);
  let run = 0;
  let positionBytes = runs[0]?.rawOffsetBytes ?? 0;

  async function fill(buffer: Uint8Array): Promise<void> {
    const readBytes = await decoder.read(buffer);
    positionBytes += readBytes;
    if (readBytes < buffer.length) throw ends(image, "fewer");
  }
  async function discardTo(offsetBytes: number): Promise<void> {
    while (positionBytes < offsetBytes) await fill(scratch.subarray(0, offsetBytes - positionBytes));
  }
  const endOfRun = () => (runs[run]?.rawOffsetBytes ?? 0) + (runs[run]?.rawSizeBytes ?? 0);

  return {
    async readAt(buffer, offsetBytes) {
      while (offsetBytes >= endOfRun() && run + 1 < runs.length) {
        await discardTo(endOfRun());
        run += 1;
        positionBytes = runs[run]?.rawOffsetBytes ?? 0;
      }
      if (offsetBytes < positionBytes || offsetBytes + buffer.length > endOfRun()) {
        throw new ReimageError("bug", `bytes ${offsetBytes} and following of image ${image.source.name} were left out`);
      }
      await discardTo(offsetBytes);
      await fill(buffer);
    },
    async finish() {
      for (; run < runs.length; run += 1) {
        positionBytes = Math.max(positionBytes, runs[run]?.rawOffsetBytes ?? 0);
        await discardTo(endOfRun());
      }
      if ((await decoder.read(scratch.subarray(0, 1))) !== 0) throw ends(image, "more");
    },
    [Symbol.asyncDispose]: () => decoder[Symbol.asyncDispose](),
  };
}

/** The segments that hold a byte of `wanted`. Both lists are in order. */
function wantedSegments(segments: readonly Segment[], wanted: readonly Region[]): Segment[] {
  let next = 0;
  return segments.filter(({ rawOffsetBytes, rawSizeBytes }) => {
    while (isBefore(wanted[next], rawOffsetBytes)) next += 1;
    const region = wanted[next];
    return region !== undefined && region.offsetBytes < rawOffsetBytes + rawSizeBytes;
  });
}

function isBefore(region: Region | undefined, offsetBytes: number): boolean {
  return region !== undefined && region.offsetBytes + region.sizeBytes <= offsetBytes;
}

/** Segments that follow each other, as one. */
function joinAdjacent(segments: readonly Segment[]): Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (last !== undefined && last.offsetBytes + last.sizeBytes === segment.offsetBytes) {
      const sizeBytes = last.sizeBytes + segment.sizeBytes;
      joined[joined.length - 1] = { ...last, sizeBytes, rawSizeBytes: last.rawSizeBytes + segment.rawSizeBytes };
    } else joined.push(segment);
  }
  return joined;
}

async function* readRuns(source: ByteSource, runs: readonly Segment[]): AsyncGenerator<Uint8Array> {
  for (const { offsetBytes, sizeBytes } of runs) yield* source.read(offsetBytes, sizeBytes);
}

function ends(image: OpenImage, how: "fewer" | "more"): ReimageError {
  return new ReimageError("image", `image ${image.source.name} decodes to ${how} bytes than it should`, {
    hint: "its manifest is wrong, or what it is read from is unreliable: copy or pack it again, and test the memory of this machine",
  });
}
