/**
 * Finds where the bzip2 streams of a file end. The decoders do not agree on what follows the last stream: bzip2 warns,
 * lbzip2 is silent, both exit 0, and unbzip2-stream accepts a file whose end is missing. So the file itself is judged:
 * its streams must follow each other without a gap, and the last one must end with the file.
 *
 * A stream ends with the 48-bit magic 0x177245385090 at any bit offset, 32 bits of CRC, and up to 7 bits of padding.
 * The magic can stand in the compressed data by chance, once in 2^48 bit positions: one in 30,000 files of 1 GiB would be
 * refused although it is good, and none accepted although it is bad.
 */
import { ReimageError } from "../../errors.ts";

const endMagic = 0x177245385090n;
const blockMagic = Buffer.from("314159265359", "hex");
const voidMagic = Buffer.from("177245385090", "hex");

// For each bit offset, the magic lies over seven bytes: five are wholly known, of the first and last some bits are.
const patterns = Array.from({ length: 8 }, (_, shift) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(endMagic << BigInt(8 - shift));
  return {
    middle: bytes.subarray(2, 7),
    first: bytes[1] ?? 0,
    firstMask: 0xff >> shift,
    last: bytes[7] ?? 0,
    lastMask: (0xff << (8 - shift)) & 0xff,
    lengthBytes: shift === 0 ? 10 : 11,
  };
});

/** Bytes that must be visible behind a stream's end to tell whether another stream follows: "BZh9" and a magic. */
const lookAheadBytes = 10;
const longestTrailerBytes = 11;

/** How much of the file is searched at a time. */
const windowBytes = 1 << 20;

/** Takes a bz2 file piece by piece; `finish` judges it. */
export interface Bz2StreamScanner {
  update(piece: Uint8Array): void;
  /** @throws ReimageError `image` where the file does not end with a stream, or something lies between streams. */
  finish(): void;
}

/** Starts judging the bz2 file `name`. */
export function createBz2StreamScanner(name: string): Bz2StreamScanner {
  const memory = Buffer.alloc(windowBytes);
  let filledBytes = 0;
  let windowOffsetBytes = 0;
  let lastEndBytes = 0;
  let gapAtBytes: number | null = null;

  function judgeEnd(window: Buffer, endInWindow: number, isFileEnd: boolean): void {
    lastEndBytes = Math.max(lastEndBytes, windowOffsetBytes + endInWindow);
    if (isFileEnd && endInWindow === window.length) return;
    const next = window.subarray(endInWindow, endInWindow + lookAheadBytes);
    const level = next[3] ?? 0;
    const magic = next.subarray(4);
    const isStream =
      next.subarray(0, 3).toString("latin1") === "BZh" &&
      level >= 0x31 &&
      level <= 0x39 &&
      (magic.equals(blockMagic) || magic.equals(voidMagic));
    if (!isStream) gapAtBytes ??= windowOffsetBytes + endInWindow;
  }

  function scan(isFileEnd: boolean): void {
    const window = memory.subarray(0, filledBytes);
    const judgeBefore = isFileEnd ? window.length : window.length - longestTrailerBytes - lookAheadBytes;
    const ends: number[] = [];
    for (const pattern of patterns) {
      for (let at = window.indexOf(pattern.middle); at !== -1; at = window.indexOf(pattern.middle, at + 1)) {
        const start = at - 1;
        if (start < 0 || start >= judgeBefore) continue;
        const first = (window[start] ?? 0) & pattern.firstMask;
        const last = (window[start + 6] ?? 0) & pattern.lastMask;
        if (first !== pattern.first || last !== pattern.last) continue;
        const end = start + pattern.lengthBytes;
        if (end <= window.length) ends.push(end);
      }
    }
    for (const end of ends.sort((a, b) => a - b)) judgeEnd(window, end, isFileEnd);
    const keepFrom = Math.max(0, judgeBefore);
    memory.copyWithin(0, keepFrom, filledBytes);
    filledBytes -= keepFrom;
    windowOffsetBytes += keepFrom;
  }

  return {
    update(piece) {
      for (let taken = 0; taken < piece.length; ) {
        const part = piece.subarray(taken, taken + windowBytes - filledBytes);
        memory.set(part, filledBytes);
        filledBytes += part.length;
        taken += part.length;
        if (filledBytes === windowBytes) scan(false);
      }
    },
    finish() {
      const sizeBytes = windowOffsetBytes + filledBytes;
      scan(true);
      if (gapAtBytes === null && lastEndBytes === sizeBytes && sizeBytes > 0) return;
      if (lastEndBytes === 0) {
        throw new ReimageError("image", `image ${name} is cut off: no bzip2 stream in its ${sizeBytes} bytes ends`, {
          hint: "copy the image again and compare its size with the original",
        });
      }
      throw new ReimageError(
        "image",
        gapAtBytes === null
          ? `image ${name} is cut off: its last bzip2 stream does not end within its ${sizeBytes} bytes`
          : `image ${name} has something that is no bzip2 stream at byte ${gapAtBytes} of ${sizeBytes}, behind the end of a stream`,
        { hint: "copy the image again and compare its size with the original" },
      );
    },
  };
}
