/** What can go wrong with an image file, for every format, and what must come of it. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { ErrorCode } from "../../src/errors.ts";
import type { ImageFormat } from "../../src/image/formats.ts";
import { noise } from "./make-disk.ts";

/** One way to pack an image. */
export interface PackedFormat {
  readonly name: string;
  readonly format: ImageFormat;
  pack(raw: Buffer): Buffer;
  /** Decoders that the machine lacks. */
  readonly without?: readonly string[];
}

function filter(command: string, ...args: string[]): (data: Buffer) => Buffer {
  return (data) => execFileSync(command, args, { input: data, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "ignore"] });
}

/** Packed once, however often it is asked for. */
function once(pack: (data: Buffer) => Buffer): (raw: Buffer) => Buffer {
  const packed = new Map<Buffer, Buffer>();
  return (raw) => {
    const known = packed.get(raw) ?? pack(raw);
    packed.set(raw, known);
    return known;
  };
}

/** Packed in parts, which begin and end anywhere, with an empty one among them. */
function inParts(pack: (data: Buffer) => Buffer): (raw: Buffer) => Buffer {
  return (raw) => {
    const ends = [1_200_007, 1_200_007, 5_000_001, raw.length];
    return Buffer.concat(ends.map((end, i) => pack(raw.subarray(i === 0 ? 0 : ends[i - 1], end))));
  };
}

// Small blocks, so that there are several.
const bzip2 = filter("bzip2", "-1c");
const gzip = filter("gzip", "-1c");
const xz = filter("xz", "-0c");
const zstd = filter("zstd", "-qc");

export const formats: readonly PackedFormat[] = [
  { name: "bz2", format: "bz2", pack: once(bzip2) },
  { name: "bz2, concatenated streams", format: "bz2", pack: once(inParts(bzip2)) },
  { name: "bz2 by pbzip2", format: "bz2", pack: once(filter("pbzip2", "-c", "-b1")) },
  { name: "bz2 by lbzip2", format: "bz2", pack: once(filter("lbzip2", "-1c")) },
  { name: "bz2, decoded by unbzip2-stream", format: "bz2", pack: once(inParts(bzip2)), without: ["lbzip2"] },
  { name: "gz", format: "gz", pack: once(gzip) },
  { name: "gz, several members", format: "gz", pack: once(inParts(gzip)) },
  { name: "gz, decoded without gzip", format: "gz", pack: once(inParts(gzip)), without: ["gzip"] },
  { name: "xz", format: "xz", pack: once(xz) },
  { name: "xz, concatenated streams", format: "xz", pack: once(inParts(xz)) },
  { name: "zst", format: "zst", pack: once(zstd) },
  { name: "zst, several frames", format: "zst", pack: once(inParts(zstd)) },
  { name: "zst by pzstd", format: "zst", pack: once(filter("pzstd", "-qc")) },
  { name: "zst, decoded without zstd", format: "zst", pack: once(inParts(zstd)), without: ["zstd"] },
  { name: "raw", format: "raw", pack: (raw) => raw },
];

/** Refused before the first write; or done, with exactly these bytes on the disk. */
export type Outcome = { readonly code: ErrorCode; readonly says: RegExp } | { readonly written: Buffer };

/** One fault: the file that it makes, and what must come of that. */
export interface Fault {
  readonly name: string;
  /** The formats that can have it; absent: every one. */
  readonly only?: readonly ImageFormat[];
  make(format: PackedFormat, raw: Buffer): { readonly file: Buffer; readonly outcome: Outcome };
}

const nothing = Buffer.alloc(0);
const anyDamage = /cut off|decode|damaged|something/;
const refused = (file: Buffer, says: RegExp, code: ErrorCode = "image") => ({ file, outcome: { code, says } });

/** The faults that a format can have. */
export function faultsOf({ format }: PackedFormat): readonly Fault[] {
  return faults.filter(({ only = [format] }) => only.includes(format));
}

/** What a cut is noticed by: most often before anything is decoded. */
const cutSays: Readonly<Record<ImageFormat, RegExp>> = {
  bz2: /is cut off/,
  gz: /gzip -dc ended with status 1: .*unexpected end of file|gz cannot be decoded.*unexpected end of file/,
  xz: /is cut off/,
  zst: /is cut off/,
  raw: /is cut off: its partitions reach to byte 5242880, the image only to/,
};

function cut(name: string, keptBytes: (file: Buffer) => number): Fault {
  return {
    name,
    make: (format, raw) => {
      const file = format.pack(raw);
      return refused(file.subarray(0, keptBytes(file)), cutSays[format.format]);
    },
  };
}

/** A bit is flipped in the byte `at`. Without a manifest nothing vouches for a raw image: its bytes are what they are. */
function flipped(
  name: string,
  at: (file: Buffer, format: ImageFormat) => number,
  options: { readonly says?: RegExp; readonly only?: readonly ImageFormat[] } = {},
): Fault {
  return {
    name,
    ...(options.only === undefined ? {} : { only: options.only }),
    make({ pack, format }, raw) {
      const file = Buffer.from(pack(raw));
      const atByte = at(file, format);
      file.writeUInt8(file.readUInt8(atByte) ^ 8, atByte);
      const isNoticed = format !== "raw" || atByte < 512;
      return isNoticed ? refused(file, options.says ?? anyDamage) : { file, outcome: { written: file } };
    },
  };
}

/** @param silent whether the decoders say nothing: then the byte where the last stream ends is named. */
function behind(name: string, bytes: Buffer, silent: readonly ImageFormat[]): Fault {
  return {
    name,
    make({ pack, format }, raw) {
      const whole = pack(raw);
      const file = Buffer.concat([whole, bytes]);
      if (format === "raw") return { file, outcome: { written: file } };
      const end = new RegExp(`has something .*at byte ${whole.length} of ${file.length}`);
      return refused(file, silent.includes(format) ? end : anyDamage);
    },
  };
}

/** An image with a size that is a multiple of little; what is behind its partitions is noise, and has to arrive. */
function ofSize(name: string, moreBytes: number): Fault {
  let image: Buffer | null = null;
  return {
    name,
    make({ pack }, raw) {
      image ??= Buffer.concat([raw, noise(name, moreBytes)]);
      return { file: pack(image), outcome: { written: image } };
    },
  };
}

const packed: readonly ImageFormat[] = ["bz2", "gz", "xz", "zst"];

/** A byte behind the magic: of the first block's magic, of the flags. */
const headerBytes = { bz2: 5, gz: 3, xz: 7, zst: 4 } as const;

/** A byte of the last checksum of the contents. */
function lastCheckByte(file: Buffer, format: ImageFormat): number {
  switch (format) {
    case "bz2":
      return file.length - 3; // of the last stream, which ends with up to seven bits of padding
    case "gz":
      return file.length - 8; // before the size
    case "xz": // before the index, of which the footer tells the size
      return file.length - 12 - 4 * (file.readUInt32LE(file.length - 8) + 1) - 1;
    default:
      return file.length - 1;
  }
}

const strict: readonly ImageFormat[] = ["bz2", "zst"];

const faults: readonly Fault[] = [
  cut("cut by 1 byte", (file) => file.length - 1),
  cut("cut by 10 bytes", (file) => file.length - 10),
  cut("cut by half", (file) => file.length >> 1),
  { name: "empty", make: () => refused(Buffer.alloc(0), /is empty/) },
  {
    name: "a void stream",
    only: packed,
    make: ({ pack }) => refused(pack(nothing), /holds nothing|decodes to 0 bytes/),
  },
  flipped("a flipped bit in the magic", (_, format) => (format === "raw" ? 510 : 1), {
    says: /is neither bz2, gz, xz nor zst/,
  }),
  flipped("a flipped bit in the header", (_, format) => (format === "raw" ? 0 : headerBytes[format]), { only: packed }),
  // The middle of the raw image is in its root, which differs anyway after a run; its end is noise that must arrive.
  flipped("a flipped bit in the middle", (file, format) => (file.length * (format === "raw" ? 0.98 : 0.5)) | 0),
  flipped("a flipped bit near the end", (file) => file.length - 40),
  flipped("a flipped bit in the checksum", lastCheckByte, { only: packed }),
  flipped("a flipped bit in the size", (file) => file.length - 4, { only: ["gz"] }),
  behind("1 zero behind it", Buffer.alloc(1), packed),
  behind("4 zeros behind it", Buffer.alloc(4), packed),
  behind("512 zeros behind it", Buffer.alloc(512), packed),
  behind("1 byte of garbage behind it", noise("garbage", 1), strict),
  behind("16 bytes of garbage behind it", noise("garbage", 16), strict),
  {
    // The first copy's partition table fits; what is behind its partitions is nobody's, and arrives.
    name: "three of it behind each other",
    make: ({ pack }, raw) => ({
      file: Buffer.concat([pack(raw), pack(raw), pack(raw)]),
      outcome: { written: Buffer.concat([raw, raw, raw]) },
    }),
  },
  {
    name: "five of it behind each other, more than the disk holds",
    make: ({ pack }, raw) =>
      refused(Buffer.concat(Array.from({ length: 5 }, () => pack(raw))), /the target disk only 16777216/, "too-small"),
  },
  ofSize("a size that is no multiple of 512", 100),
  ofSize("a size that is no multiple of 4096", 512),
  ofSize("a size that is no multiple of 1 MiB", 4096),
];

/**
 * Puts a manifest of the raw image beside the file at `path`.
 * @param compressed what it says that the file is; absent: what it is.
 * @returns the path of the manifest.
 */
export function putManifest(path: string, rawImage: Buffer, compressed: Buffer = readFileSync(path)): string {
  const digestOf = (data: Buffer) => ({
    sizeBytes: data.length,
    sha256: createHash("sha256").update(data).digest("hex"),
  });
  const contents = { raw: digestOf(rawImage), compressed: digestOf(compressed), sectorSizeBytes: 512 };
  const manifest = `${path}.manifest.json`;
  writeFileSync(manifest, JSON.stringify({ schemaVersion: 1, imageId: "bare 1", version: 1, ...contents }));
  return manifest;
}
