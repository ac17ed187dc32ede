/** All that a source decodes to, handed out in order. */
import type { ByteSource } from "../../src/image/byte-source.ts";
import { openDecoder } from "../../src/image/decode.ts";
import type { ImageFormat } from "../../src/image/formats.ts";

/**
 * Decodes the whole of `source`, and hands the decoded bytes to `consume`, in order. A piece is only lent. `consume` returns
 * false to end early; the decoder is then stopped.
 * @returns how many bytes were decoded, and whether the image was decoded to its end.
 * @throws ReimageError `image` where it cannot be decoded to its end, and whatever `consume` throws.
 */
export async function decodeTo(
  source: ByteSource,
  format: ImageFormat,
  consume: (piece: Uint8Array) => Promise<boolean> | boolean,
): Promise<{ sizeBytes: number; isComplete: boolean }> {
  await using decoder = openDecoder(format, source.read(0, source.sizeBytes), source.name);
  const buffer = Buffer.alloc(1 << 20);
  let sizeBytes = 0;
  for (;;) {
    const readBytes = await decoder.read(buffer);
    sizeBytes += readBytes;
    if (readBytes > 0 && !(await consume(buffer.subarray(0, readBytes)))) return { sizeBytes, isComplete: false };
    if (readBytes < buffer.length) return { sizeBytes, isComplete: true };
  }
}
