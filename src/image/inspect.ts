/** Judges an image completely, before any disk is touched: is it whole, what does it hold, what vouches for it. */
import { ReimageError } from "../errors.ts";
import { type ByteSource, openFileSource } from "./byte-source.ts";
import { cannotBeDecoded, decodeOnce, tooLarge } from "./decode-once.ts";
import { readEarlyOutline } from "./early-outline.ts";
import type { ImageFormat } from "./formats.ts";
import type { BlockMap } from "./manifest/block-map.ts";
import type { Manifest, Segment } from "./manifest/manifest.ts";
import type { ImageOutline } from "./outline.ts";
import { largestPieceBytes, type Piece, wholePieces } from "./pieces.ts";
import type { StartProgress } from "./progress.ts";
import { readFormat, readWholeFile, requireDigest, requireSize } from "./read-file.ts";
import { type Region, subtractRegions } from "./regions.ts";

/** What to judge, and what for. */
export interface InspectRequest {
  readonly source: ByteSource;
  /** Where a copy goes while the file is read; the copy is then what gets decoded. Null: no copy. */
  readonly copyTo: string | null;
  /** Of the file as it was parked in a lifeboat; null: it was not. */
  readonly parkedSha256: string | null;
  /** What vouches for the file, if anything does. */
  readonly manifest: Manifest | null;
  /** Whether somebody has signed the manifest: then what it says of the inside of the image need not be tried. */
  readonly isSigned: boolean;
  /** Whether a signed image is read when it is written, and not before: it is on a web server. */
  readonly isStreamed: boolean;
  /** The block map, which has the digest that the manifest says, where that says one. */
  readonly map: BlockMap | null;
  readonly target: { readonly sizeBytes: number; readonly sectorSizeBytes: number };
  readonly startProgress: StartProgress;
}

/** A whole, decodable image. */
export interface InspectedImage {
  readonly format: ImageFormat;
  readonly compressedSizeBytes: number;
  /** Of the file; null where it was not read and nothing says it. */
  readonly compressedSha256: string | null;
  /** Of the raw image. */
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly imageId: string;
  /** The manifest's counter of releases; null where there is none. */
  readonly version: number | null;
  readonly outline: ImageOutline;
  readonly segments: readonly Segment[] | null;
  /** What is written, in order. */
  readonly pieces: readonly Piece[];
  /** What has to read as zero beside the pieces. */
  readonly zeros: readonly Region[];
}

/**
 * Reads the file once (copying it where asked), then decodes it: completely where nobody has signed for its content, else
 * only as far as its partition table reaches.
 * @throws ReimageError `image` where it is missing, empty, unknown, cut, corrupt, or not what manifest and block map say;
 * `too-small` where it is larger than the target.
 */
export async function inspectImage(request: InspectRequest): Promise<InspectedImage> {
  const { source, manifest, map, target, copyTo, startProgress } = request;
  const format = await readFormat(source);
  if (manifest !== null) requireSize(source, manifest);
  const isSigned = manifest !== null && request.isSigned;
  const isRead = !(isSigned && request.isStreamed);
  const read = isRead ? await readWholeFile(source, format, copyTo, startProgress) : null;
  if (manifest !== null && read !== null) requireDigest(source, read.sha256, manifest);
  if (request.parkedSha256 !== null && read?.sha256 !== request.parkedSha256) throw notAsParked(source.name);
  if (manifest !== null && manifest.raw.sizeBytes > target.sizeBytes) {
    throw tooLarge(source.name, manifest.raw.sizeBytes, target.sizeBytes);
  }
  if (map !== null) requireSameSize(source.name, map, manifest);
  if (map !== null && map.imageSizeBytes > target.sizeBytes) {
    throw tooLarge(source.name, map.imageSizeBytes, target.sizeBytes);
  }
  await using copy = copyTo === null || read === null ? null : await openFileSource(copyTo, source.name);
  const decoded = copy ?? source;
  const isZeroElsewhere = manifest?.blockMap?.unmapped !== "any";

  const vouched = isSigned ? vouchedPieces(manifest, map) : null;
  if (manifest !== null && vouched !== null) {
    const segments = manifest.segments ?? null;
    const image = { source: decoded, format, sizeBytes: manifest.raw.sizeBytes, segments };
    const outline = await readEarlyOutline(image, vouched, target.sectorSizeBytes).catch((cause) => {
      throw cannotBeDecoded(source.name, cause);
    });
    return describe(manifest.raw, vouched, outline);
  }
  const endCheck = read?.endCheck ?? null;
  // The image is read again when it is written, from where somebody may have changed it by then.
  const digest = isSigned ? "sha256" : "xxh64";
  const once = await decodeOnce(decoded, format, { map, isZeroElsewhere, digest, endCheck, target, startProgress });
  if (manifest !== null) requireRaw(source.name, once, manifest);
  return describe(once, once.pieces, once.outline);

  function describe(
    { sizeBytes, sha256 }: { readonly sizeBytes: number; readonly sha256: string },
    pieces: readonly Piece[],
    outline: ImageOutline,
  ): InspectedImage {
    requireWholeSectors(source.name, pieces, target.sectorSizeBytes);
    return {
      format,
      compressedSizeBytes: source.sizeBytes,
      compressedSha256: read?.sha256 ?? manifest?.compressed.sha256 ?? null,
      sizeBytes,
      sha256,
      imageId: manifest?.imageId ?? `sha256:${sha256}`,
      version: manifest?.version ?? null,
      outline,
      // Segments that nobody has signed for have not been tried: the image was decoded as a whole.
      segments: (isSigned ? manifest?.segments : undefined) ?? null,
      pieces,
      zeros: isZeroElsewhere ? zerosBeside(pieces, sizeBytes, target.sectorSizeBytes) : [],
    };
  }
}

function notAsParked(name: string): ReimageError {
  return new ReimageError("image", `image ${name} in the lifeboat is not what was parked there`, {
    hint: "somebody wrote to the lifeboat after it was armed, or the disk is faulty: test the disk, and arm again",
  });
}

/** What the pieces leave out, in whole sectors: the image may end within one, and so may its last piece. */
function zerosBeside(pieces: readonly Piece[], imageSizeBytes: number, sectorSizeBytes: number): Region[] {
  const wholeSectors = ({ offsetBytes, sizeBytes }: Region) => ({
    offsetBytes,
    sizeBytes: Math.ceil(sizeBytes / sectorSizeBytes) * sectorSizeBytes,
  });
  return subtractRegions([wholeSectors({ offsetBytes: 0, sizeBytes: imageSizeBytes })], pieces.map(wholeSectors));
}

/**
 * The pieces that a signed manifest vouches for: the ranges of its block map, or all of the image, which then has only one
 * digest. Null where ranges are too large to be checked before they are written: then the image has to be decoded first.
 */
function vouchedPieces(manifest: Manifest, map: BlockMap | null): Piece[] | null {
  if (map === null) return wholePieces(manifest.raw.sizeBytes).map((region) => ({ ...region, digest: null }));
  if (manifest.blockMap === undefined) return null; // the map lies beside the image, but nobody has signed for it
  if (map.ranges.some(({ sizeBytes }) => sizeBytes > largestPieceBytes)) return null;
  return map.ranges.map(({ offsetBytes, sizeBytes, sha256 }) => ({
    offsetBytes,
    sizeBytes,
    digest: `sha256:${sha256}`,
  }));
}

function requireSameSize(name: string, map: BlockMap, manifest: Manifest | null): void {
  if (manifest === null || map.imageSizeBytes === manifest.raw.sizeBytes) return;
  throw new ReimageError(
    "image",
    `the block map of image ${name} is for ${map.imageSizeBytes} bytes; its manifest says ${manifest.raw.sizeBytes}`,
    { hint: "pack the image again with reimage pack" },
  );
}

function requireRaw(
  name: string,
  raw: { readonly sizeBytes: number; readonly sha256: string },
  { raw: said }: Manifest,
): void {
  if (raw.sizeBytes === said.sizeBytes && raw.sha256 === said.sha256) return;
  const is = raw.sizeBytes === said.sizeBytes ? `sha256 ${raw.sha256}` : `${raw.sizeBytes} bytes`;
  const was = raw.sizeBytes === said.sizeBytes ? said.sha256 : said.sizeBytes;
  throw new ReimageError("image", `image ${name} decodes to ${is}; its manifest says ${was}`, {
    hint: "make the manifest again from this image",
  });
}

/** Only the last piece may end within a sector, at the end of the image. */
function requireWholeSectors(name: string, pieces: readonly Piece[], sectorSizeBytes: number): void {
  const last = pieces.at(-1);
  const odd = pieces.find(
    (piece) => piece.offsetBytes % sectorSizeBytes !== 0 || (piece !== last && piece.sizeBytes % sectorSizeBytes !== 0),
  );
  if (odd === undefined) return;
  throw new ReimageError(
    "image",
    `the block map of image ${name} divides it at byte ${odd.offsetBytes} (${odd.sizeBytes} bytes), which is no whole number of sectors of ${sectorSizeBytes} bytes`,
    { hint: "make the block map with blocks of 4096 bytes" },
  );
}
