/**
 * Whether a compressed image ends where its last stream ends. The decoders do not tell reliably: with status 0 and without
 * a word, gzip passes over zeros and decodes other old formats, xz passes over zeros (its format allows them), zstd decodes
 * gz, xz, lzma and lz4 that follow, and lbzip2 passes over anything. So the file itself is judged, while it is read.
 */

import type { ImageFormat } from "../formats.ts";
import { createBz2StreamScanner } from "./bz2.ts";
import { createGzEndScanner } from "./gz.ts";
import type { StreamEndScanner } from "./scanner.ts";
import { createXzEndScanner } from "./xz.ts";
import { createZstEndScanner } from "./zst.ts";

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
