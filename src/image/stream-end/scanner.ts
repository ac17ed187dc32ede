/** What judges the end of a compressed file, whatever its format. */
import type { ByteSource } from "../byte-source.ts";

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
