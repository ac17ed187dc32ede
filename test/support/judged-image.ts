/** Images as the engine wants them: judged, and open. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { openFileSource } from "../../src/image/byte-source.ts";
import { type Digest, digestOf, wholePieces } from "../../src/image/pieces.ts";
import { type Region, subtractRegions } from "../../src/image/regions.ts";
import type { JudgedImage } from "../../src/image/write.ts";

export const sha256Hex = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

/** A judged image; disposing closes its file. */
export interface TestImage extends AsyncDisposable {
  readonly image: JudgedImage;
  readonly path: string;
}

/**
 * Puts `content` at `path` as a raw image, and judges it.
 * @param mapped what its block map names, with digests that somebody vouches for; null: there is no block map
 * @param digests which digests its pieces have: null, where only the whole image has one
 */
export async function judge(
  path: string,
  content: Buffer,
  mapped: readonly Region[] | null = null,
  digests: "xxh64" | "sha256" | null = mapped === null ? "xxh64" : "sha256",
): Promise<TestImage> {
  writeFileSync(path, content);
  const source = await openFileSource(path, path);
  const pieces = [];
  for (const region of mapped ?? wholePieces(content.length)) {
    const data = content.subarray(region.offsetBytes, region.offsetBytes + region.sizeBytes);
    const digest: Digest | null = digests === null ? null : await digestOf(digests, data);
    pieces.push({ ...region, digest });
  }
  const whole = { offsetBytes: 0, sizeBytes: content.length };
  return {
    path,
    image: {
      source,
      format: "raw",
      sizeBytes: content.length,
      segments: null,
      pieces,
      zeros: subtractRegions([whole], pieces),
      sha256: sha256Hex(content),
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
