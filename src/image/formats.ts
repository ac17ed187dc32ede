/** Which format an image file has: told by its first bytes, never by its name. */

export type ImageFormat = "bz2" | "gz" | "xz" | "zst" | "raw";

/** How many bytes of the file `detectFormat` wants to see: enough for a GPT header behind a 4096-byte sector. */
export const formatHeadBytes = 8192;

/**
 * The format of a file that begins with `head`, or null where it is none that we know. A raw image is known by its boot
 * signature (55 AA) or by a GPT header, so that a text file or an empty file is not taken for a disk.
 */
export function detectFormat(head: Buffer): ImageFormat | null {
  const begins = (...bytes: number[]) => bytes.every((byte, i) => head[i] === byte);
  if (begins(0x42, 0x5a, 0x68) && (head[3] ?? 0) >= 0x31 && (head[3] ?? 0) <= 0x39) return "bz2";
  if (begins(0x1f, 0x8b)) return "gz";
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return "xz";
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return "zst";
  const isSkippableFrame = (head[0] ?? 0) >> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
  if (isSkippableFrame) return "zst"; // pzstd's files begin with one
  const hasBootSignature = head[510] === 0x55 && head[511] === 0xaa;
  const hasGpt = [512, 4096].some((at) => head.subarray(at, at + 8).toString("latin1") === "EFI PART");
  return hasBootSignature || hasGpt ? "raw" : null;
}
