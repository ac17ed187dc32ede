/**
 * The end of a zst file: its frames are walked by their headers and those of their blocks (RFC 8878, 3.1), a few bytes in
 * every 128 KiB. zstd would decode gz, xz, lzma and lz4 behind a frame. Skippable frames are frames like any other, at the
 * beginning (pzstd writes them) and at the end (the seek table of the seekable format).
 */
import { cutOff, damaged, somethingBehind } from "./tail.ts";

const frameMagic = 0xfd2fb528;
/** The last four bits of a skippable frame's magic are free. */
const skippableMagic = 0x184d2a50;
const dictionaryIdBytes = [0, 1, 2, 4];
const contentSizeBytes = [0, 2, 4, 8];

/** Block types (3.1.1.2.2). */
const rleBlock = 1;
const reservedBlock = 3;

/** A field of fixed length, and what to do once all of it is there. */
interface Field {
  readonly lengthBytes: number;
  /** @returns the next field, and how many bytes are passed over before it; null where this can be no zst file. */
  read(bytes: Buffer): { next: Field; skipBytes: number } | null;
}

/** Takes a zst file piece by piece; `finish` throws a ReimageError `image` where it does not end with a frame. */
export function createZstEndScanner(name: string) {
  const memory = Buffer.alloc(4);
  let filledBytes = 0;
  let skipBytes = 0;
  let sizeBytes = 0;
  let frameStartBytes = 0;
  let hasChecksum = false;
  let badAtBytes: number | null = null;
  let wasBlockBad = false;

  const magic: Field = {
    lengthBytes: 4,
    read(bytes) {
      const value = bytes.readUInt32LE();
      if (value === frameMagic) return { next: descriptor, skipBytes: 0 };
      return (value & ~0xf) >>> 0 === skippableMagic ? { next: skippableSize, skipBytes: 0 } : null;
    },
  };
  const skippableSize: Field = {
    lengthBytes: 4,
    read: (bytes) => ({ next: magic, skipBytes: bytes.readUInt32LE() }),
  };
  const descriptor: Field = {
    lengthBytes: 1,
    read(bytes) {
      const flags = bytes.readUInt8();
      const isSingleSegment = (flags & 0x20) !== 0;
      hasChecksum = (flags & 0x04) !== 0;
      const windowBytes = isSingleSegment ? 0 : 1;
      const contentSize = flags >> 6 === 0 && isSingleSegment ? 1 : (contentSizeBytes[flags >> 6] ?? 0);
      return { next: block, skipBytes: windowBytes + (dictionaryIdBytes[flags & 3] ?? 0) + contentSize };
    },
  };
  const block: Field = {
    lengthBytes: 3,
    read(bytes) {
      const header = bytes.readUIntLE(0, 3);
      const type = (header >> 1) & 3;
      wasBlockBad = type === reservedBlock;
      if (wasBlockBad) return null;
      const contentBytes = type === rleBlock ? 1 : header >> 3;
      const isLast = (header & 1) === 1;
      return { next: isLast ? magic : block, skipBytes: contentBytes + (isLast && hasChecksum ? 4 : 0) };
    },
  };
  let field = magic;

  return {
    update(piece: Uint8Array): void {
      for (let at = 0; at < piece.length && badAtBytes === null; ) {
        const skipped = Math.min(skipBytes, piece.length - at);
        skipBytes -= skipped;
        at += skipped;
        if (field === magic && filledBytes === 0 && skipBytes === 0) frameStartBytes = sizeBytes + at;
        while (at < piece.length && skipBytes === 0 && filledBytes < field.lengthBytes) {
          memory[filledBytes++] = piece[at++] ?? 0;
        }
        if (filledBytes < field.lengthBytes) continue;
        const read = field.read(memory);
        filledBytes = 0;
        if (read === null) badAtBytes = sizeBytes + at - field.lengthBytes;
        else ({ next: field, skipBytes } = read);
      }
      sizeBytes += piece.length;
    },
    finish(): void {
      if (wasBlockBad) throw damaged(name, `byte ${badAtBytes} begins no block of a zst frame`);
      if (sizeBytes === 0) throw cutOff(name, "it is empty");
      const isBetween = field === magic && skipBytes === 0;
      if (badAtBytes !== null || (isBetween && filledBytes > 0)) {
        throw somethingBehind(name, "zst frame", frameStartBytes, sizeBytes);
      }
      if (!isBetween)
        throw cutOff(name, `its zst frame at byte ${frameStartBytes} does not end within its ${sizeBytes} bytes`);
    },
  };
}
