/**
 * Text in a block of the disk that tells by itself whether it is whole: a magic word, its length, the text, and at the very
 * end of the block the digest of all before it, so that any sector that is missing is noticed. Pure.
 */
import { createHash } from "node:crypto";
import { ReimageError } from "../errors.ts";

const digestBytes = 32;

/** @throws ReimageError `bug` where it does not fit into `blockBytes`. */
export function sealText(magic: string, text: string, blockBytes: number): Buffer {
  const body = Buffer.from(text);
  const start = magic.length + 4;
  if (start + body.length + digestBytes > blockBytes) {
    throw new ReimageError("bug", `${magic.trim()}: ${body.length} bytes do not fit into ${blockBytes}`);
  }
  const block = Buffer.alloc(blockBytes);
  block.write(magic, 0, "latin1");
  block.writeUInt32LE(body.length, magic.length);
  body.copy(block, start);
  digestOf(block.subarray(0, blockBytes - digestBytes)).copy(block, blockBytes - digestBytes);
  return block;
}

/** The text, or null where the block, all of it, holds none that is whole. */
export function openText(magic: string, block: Buffer): string | null {
  const [start, sealedBytes] = [magic.length + 4, block.length - digestBytes];
  if (sealedBytes < start || block.toString("latin1", 0, magic.length) !== magic) return null;
  const end = start + block.readUInt32LE(magic.length);
  if (end > sealedBytes || !digestOf(block.subarray(0, sealedBytes)).equals(block.subarray(sealedBytes))) return null;
  return block.toString("utf8", start, end);
}

function digestOf(data: Buffer): Buffer {
  return createHash("sha256").update(data).digest();
}
