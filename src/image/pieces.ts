/** An image as the writer sees it: pieces that each fit into memory, with what is known of their bytes beforehand. */

import type { BlockMap } from "./manifest/block-map.ts";
import type { Region } from "./regions.ts";

/** The largest piece: it is held in memory and checked before it is written. */
export const largestPieceBytes = 4 << 20;

/** Digests of pieces: `sha256` where somebody vouches for the image, `xxh64` where nobody does: it finds mistakes, not malice. */
export type DigestAlgorithm = "sha256" | "xxh64";

/** `<algorithm>:<hex>` */
export type Digest = `${DigestAlgorithm}:${string}`;

/** A stretch of the image that is written and read back as one. */
export interface Piece extends Region {
  /** What its bytes must be; null where only the whole image has a digest. */
  readonly digest: Digest | null;
}

/** The digest of `data`. SHA-256 is taken on another thread. */
export async function digestOf(algorithm: DigestAlgorithm, data: Uint8Array): Promise<Digest> {
  if (algorithm === "xxh64") return `xxh64:${Bun.hash.xxHash64(data).toString(16)}`;
  const sha256 = await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>);
  return `sha256:${Buffer.from(sha256).toString("hex")}`;
}

/** Whether `data` is what `digest` says. */
export async function matches(digest: Digest, data: Uint8Array): Promise<boolean> {
  const algorithm = digest.startsWith("sha256:") ? "sha256" : "xxh64";
  return (await digestOf(algorithm, data)) === digest;
}

/** The pieces of an image without a block map: all of it. */
export function wholePieces(imageSizeBytes: number): Region[] {
  const count = Math.ceil(imageSizeBytes / largestPieceBytes);
  return Array.from({ length: count }, (_, index) => {
    const offsetBytes = index * largestPieceBytes;
    return { offsetBytes, sizeBytes: Math.min(largestPieceBytes, imageSizeBytes - offsetBytes) };
  });
}

/** The ranges of a block map, cut where they are larger than a piece may be. */
export function mappedPieces(map: BlockMap): Region[] {
  return map.ranges.flatMap((range) =>
    wholePieces(range.sizeBytes).map(({ offsetBytes, sizeBytes }) => ({
      offsetBytes: range.offsetBytes + offsetBytes,
      sizeBytes,
    })),
  );
}
