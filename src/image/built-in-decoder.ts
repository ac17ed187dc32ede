/** gz and zst without a command: an old OS from before zstd, or a minimal one, is armed from too. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { ReimageError } from "../errors.ts";
import { createZstEndScanner } from "./stream-end/zst.ts";

export type BuiltInFormat = "gz" | "zst";

/**
 * Decodes all members or frames, one behind the other.
 * @throws ReimageError `image` (while it is iterated) where the input is cut off or damaged. node:zlib takes a zst frame
 * that does not end, so its end is looked at here.
 */
export async function* decodeBuiltIn(
  format: BuiltInFormat,
  input: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array> {
  const scanner = format === "zst" ? createZstEndScanner(name) : null;
  async function* compressed(): AsyncGenerator<Buffer> {
    for await (const piece of input) {
      scanner?.update(piece);
      yield Buffer.from(piece); // it is only lent
    }
    scanner?.finish();
  }
  const source = Readable.from(compressed(), { objectMode: false });
  const decoder = format === "zst" ? createZstdDecompress() : createGunzip();
  source.on("error", (error) => decoder.destroy(error));
  try {
    yield* source.pipe(decoder) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause; // the input's own failure, or its end
    throw new ReimageError("image", `${format} cannot be decoded: ${name}`, {
      cause,
      hint: "copy the image again and compare its size and digest with the original",
    });
  } finally {
    source.destroy();
    decoder.destroy();
  }
}
