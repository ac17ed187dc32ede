/** Decodes an image once from end to end, writing nothing, where nobody has signed for what is in it. */
import { createHash } from "node:crypto";
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { openDecoder } from "./decode.ts";
import type { ImageFormat } from "./formats.ts";
import type { BlockMap, MappedRange } from "./manifest/block-map.ts";
import { createOutlineCollector, type ImageOutline } from "./outline.ts";
import { type DigestAlgorithm, digestOf, largestPieceBytes, mappedPieces, type Piece } from "./pieces.ts";
import type { StartProgress } from "./progress.ts";
import type { Region } from "./regions.ts";
import type { DecodedEndCheck } from "./stream-end/scanner.ts";

/** What the image turned out to be. */
export interface DecodedImage {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly outline: ImageOutline;
  /** With a digest each, to be checked again when they are written. */
  readonly pieces: readonly Piece[];
}

export interface DecodeOnceOptions {
  readonly map: BlockMap | null;
  /** Whether what the map leaves out must be zero. */
  readonly isZeroElsewhere: boolean;
  /** Which digest the pieces get: `xxh64` finds mistakes, not malice. */
  readonly digest: DigestAlgorithm;
  /** What the decoded bytes have to be asked, so that nothing may follow the last stream. */
  readonly endCheck: DecodedEndCheck | null;
  readonly target: { readonly sizeBytes: number; readonly sectorSizeBytes: number };
  readonly startProgress: StartProgress;
}

/**
 * @throws ReimageError `image` where the image cannot be decoded, is empty, or is not the one of the block map; `too-small`
 * where it is larger than the target.
 */
export async function decodeOnce(
  source: ByteSource,
  format: ImageFormat,
  { map, isZeroElsewhere, digest, endCheck, target, startProgress }: DecodeOnceOptions,
): Promise<DecodedImage> {
  const collector = createOutlineCollector(target.sectorSizeBytes);
  const hash = createHash("sha256");
  const ranges = map === null ? null : createRangeChecker(map, source.name);
  const planned: readonly Region[] | null = map === null ? null : mappedPieces(map);
  const progress = startProgress("decoding the image once, to judge it", map?.imageSizeBytes ?? null);
  const pieces: Piece[] = [];
  const buffer = Buffer.alloc(largestPieceBytes);
  let sizeBytes = 0;

  await using decoder = openDecoder(format, source.read(0, source.sizeBytes), source.name);
  for (;;) {
    const planning = planned?.[pieces.length];
    const isPiece = planned === null || planning?.offsetBytes === sizeBytes;
    const wantedBytes = isPiece ? (planning?.sizeBytes ?? buffer.length) : gapBytes(planning, sizeBytes);
    const readBytes = await decoder.read(buffer.subarray(0, wantedBytes)).catch((cause) => {
      throw cannotBeDecoded(source.name, cause);
    });
    const data = buffer.subarray(0, readBytes);
    hash.update(data);
    collector.accept(data);
    endCheck?.update(data);
    if (isPiece) ranges?.update(data);
    else if (isZeroElsewhere && !data.equals(noData.subarray(0, readBytes)))
      throw notMapped(source, sizeBytes, readBytes);
    if (isPiece && readBytes > 0) {
      pieces.push({ offsetBytes: sizeBytes, sizeBytes: readBytes, digest: await digestOf(digest, data) });
    }
    sizeBytes += readBytes;
    progress.advance(readBytes);
    if (sizeBytes > target.sizeBytes) throw tooLarge(source.name, `more than ${target.sizeBytes}`, target.sizeBytes);
    if (readBytes < wantedBytes) break;
  }
  progress.done();
  await endCheck?.finish(source);
  if (sizeBytes === 0) {
    throw new ReimageError("image", `image ${source.name} holds nothing: it decodes to 0 bytes`, {
      hint: "make it again",
    });
  }
  if (map !== null && map.imageSizeBytes !== sizeBytes) {
    throw new ReimageError(
      "image",
      `image ${source.name} decodes to ${sizeBytes} bytes; its block map says ${map.imageSizeBytes}`,
      { hint: "make the block map again from this image" },
    );
  }
  ranges?.finish();
  return { sizeBytes, sha256: hash.digest("hex"), outline: collector.finish(), pieces };
}

const noData = Buffer.alloc(largestPieceBytes);

/** How much to read up to the next piece, or up to the end of the image, as far as it fits into the buffer. */
function gapBytes(next: Region | undefined, positionBytes: number): number {
  return Math.min(largestPieceBytes, next === undefined ? largestPieceBytes : next.offsetBytes - positionBytes);
}

/** Takes the bytes of all ranges of a map, one behind the other, and compares their digests. */
function createRangeChecker(map: BlockMap, name: string) {
  let index = 0;
  let takenBytes = 0;
  let hash = createHash("sha256");

  function endRange(range: MappedRange): void {
    if (hash.digest("hex") !== range.sha256) {
      throw new ReimageError(
        "image",
        `image ${name} is not the one of its block map: bytes ${range.offsetBytes} to ${range.offsetBytes + range.sizeBytes} are others`,
        { hint: "make the block map again from this image, or use the image that it was made for" },
      );
    }
    hash = createHash("sha256");
    takenBytes = 0;
    index += 1;
  }
  return {
    /** Pieces never reach over the end of a range. */
    update(data: Buffer): void {
      const range = map.ranges[index];
      hash.update(data);
      takenBytes += data.length;
      if (range !== undefined && takenBytes === range.sizeBytes) endRange(range);
    },
    finish(): void {
      const range = map.ranges[index];
      if (range !== undefined) endRange(range); // it was cut
    },
  };
}

/** The error of an image that cannot be decoded to its end. What to do depends on why: its server may be at fault. */
export function cannotBeDecoded(name: string, cause: unknown): ReimageError {
  const hint = cause instanceof ReimageError ? cause.hint : undefined;
  return new ReimageError("image", `image ${name} cannot be decoded`, {
    cause,
    hint: hint ?? "copy the image again and compare its size and digest with the original",
  });
}

/** The error of an image that the target has no room for. */
export function tooLarge(name: string, size: number | string, targetSizeBytes: number): ReimageError {
  return new ReimageError("too-small", `image ${name} is ${size} bytes, the target disk only ${targetSizeBytes}`, {
    hint: "make a smaller image, or use a larger disk",
  });
}

function notMapped(source: ByteSource, offsetBytes: number, sizeBytes: number): ReimageError {
  return new ReimageError(
    "image",
    `image ${source.name} is not the one of its block map: the map leaves out content between byte ${offsetBytes} and ${offsetBytes + sizeBytes}`,
    { hint: "make the block map again from this image, or use the image that it was made for" },
  );
}
