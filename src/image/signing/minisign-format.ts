/** What the files of minisign have in common (https://jedisct1.github.io/minisign/): comments, base64, key ids (pure). */

export const UNTRUSTED = "untrusted comment: ";
export const TRUSTED = "trusted comment: ";

/** The algorithm of keys, and of signatures over the data itself. */
export const ED25519 = "Ed";
/** The algorithm of signatures over the BLAKE2b-512 digest of the data. */
export const ED25519_PREHASHED = "ED";

export const KEY_ID_BYTES = 8;

/** Lines without their ends; empty ones at the end do not count. */
export function splitLines(text: string): string[] {
  let end = text.length; // counted by hand: /[\r\n]+$/ takes hours where a megabyte of line ends is not at the end
  while (text[end - 1] === "\n" || text[end - 1] === "\r") end -= 1;
  return text.slice(0, end).split(/\r?\n/);
}

/** Bytes of canonical base64 of exactly that many bytes, or null. Buffer.from alone skips what it does not know. */
export function decodeBase64(encoded: string, sizeBytes: number): Buffer | null {
  const bytes = Buffer.from(encoded, "base64");
  return bytes.length === sizeBytes && bytes.toString("base64") === encoded ? bytes : null;
}

/** The 8 bytes of a key id as the little-endian number that minisign prints: 16 hexadecimal digits. */
export function formatKeyId(bytes: Buffer): string {
  return bytes.readBigUInt64LE(0).toString(16).toUpperCase().padStart(16, "0");
}

/** The inverse of `formatKeyId`. */
export function keyIdBytes(keyId: string): Buffer {
  return Buffer.from(keyId, "hex").reverse();
}
