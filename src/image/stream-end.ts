/**
 * Whether a compressed image ends where its last stream ends. The decoders do not tell reliably: with status 0 and without
 * a word, gzip passes over zeros and decodes other old formats, xz passes over zeros (its format allows them), zstd decodes
 * gz, xz, lzma and lz4 that follow, and lbzip2 passes over anything. So the file itself is judged, while it is read.
 */
import type { ByteSource } from "./byte-source.ts";
import { createBz2StreamScanner } from "./bz2-streams.ts";
import type { ImageFormat } from "./formats.ts";
import { createGzEndScanner } from "./stream-end-gz.ts";
import { createXzEndScanner } from "./stream-end-xz.ts";
import { createZstEndScanner } from "./stream-end-zst.ts";

/** Takes a compressed file piece by piece, in order; a piece may be overwritten after the call. */
export interface StreamEndScanner {
  update(piece: Uint8Array): void;
  /**
   * Judges the file once all of it has been taken.
   * @returns what the decoded bytes have to be asked, or null where the compressed ones have told everything. It may be
   * dropped where a signed manifest vouches for the compressed bytes, and the image is not decoded to be judged.
   * @throws ReimageError `image` where the file is cut off, or anything follows its last stream.
   */
  finish(): DecodedEndCheck | null;
}

/** Takes the decoded bytes of the whole image, in order. */
export interface DecodedEndCheck {
  update(piece: Uint8Array): void;
  /**
   * Judges, once all has been decoded without an error.
   * @param source read again, and decoded, where the file has several members.
   * @throws ReimageError `image` where anything follows the last stream, or the source cannot be read.
   */
  finish(source: Pick<ByteSource, "sizeBytes" | "read">): Promise<void>;
}

/** Starts judging the end of the file that the operator calls `name`. A raw image has no end of its own: its size is
 * judged with its partition table. */
export function createStreamEndScanner(format: ImageFormat, name: string): StreamEndScanner {
  switch (format) {
    case "bz2":
      return withoutDecoding(createBz2StreamScanner(name));
    case "gz":
      return createGzEndScanner(name);
    case "xz":
      return withoutDecoding(createXzEndScanner(name));
    case "zst":
      return withoutDecoding(createZstEndScanner(name));
    case "raw":
      return { update() {}, finish: () => null };
  }
}

function withoutDecoding(scanner: { update(piece: Uint8Array): void; finish(): void }): StreamEndScanner {
  return {
    update: scanner.update,
    finish() {
      scanner.finish();
      return null;
    },
  };
}
