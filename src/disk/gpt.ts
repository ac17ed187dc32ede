/** The GUID partition table (UEFI specification, chapter 5.3), as block/partitions/efi.c of Linux reads it. */
import { crc32 } from "node:zlib";
import type { ParsedTable, Partition, ReadBytes } from "./table.ts";
import { findOverlap, makeTable, noTable } from "./table-checks.ts";

const SIGNATURE = Buffer.from("EFI PART", "latin1");
const MINIMUM_HEADER_BYTES = 92;
/** The only entry size that Linux reads. */
export const ENTRY_BYTES = 128;
// Four times what any tool makes; keeps a corrupt header from asking for gigabytes.
const MAXIMUM_ENTRIES = 4096;
const UNUSED_TYPE = "00000000-0000-0000-0000-000000000000";

/** Offsets in the header. */
export const HEADER = {
  headerBytes: 12,
  crc: 16,
  ownLba: 24,
  otherLba: 32,
  firstUsableLba: 40,
  lastUsableLba: 48,
  diskGuid: 56,
  entriesLba: 72,
  entryCount: 80,
  entryBytes: 84,
  entriesCrc: 88,
} as const;

/** A header whose own fields make sense. */
export interface GptHeader {
  readonly headerBytes: number;
  readonly firstUsableLba: number;
  readonly lastUsableLba: number;
  readonly diskId: string;
  readonly entriesLba: number;
  readonly entryCount: number;
  readonly entriesCrc: number;
}

/** The sector size a GPT was made for, told by where its header lies in the head of the disk; null without a GPT. */
export function detectGptSectorSize(head: Buffer): 512 | 4096 | null {
  const sizes = [512, 4096] as const;
  return sizes.find((size) => typeof parseGptHeader(head, size) !== "string") ?? null;
}

/** The primary header in the head of a disk, or what is wrong with it. */
export function parseGptHeader(head: Buffer, sectorSizeBytes: number): GptHeader | string {
  if (head.length < 2 * sectorSizeBytes) return "the GPT header is cut off";
  const header = head.subarray(sectorSizeBytes, 2 * sectorSizeBytes);
  if (!header.subarray(0, SIGNATURE.length).equals(SIGNATURE)) {
    return "its protective MBR promises a GPT, but there is no GPT header";
  }
  const headerBytes = header.readUInt32LE(HEADER.headerBytes);
  if (headerBytes < MINIMUM_HEADER_BYTES || headerBytes > sectorSizeBytes) {
    return `its GPT header has an impossible size of ${headerBytes} bytes`;
  }
  if (header.readUInt32LE(HEADER.crc) !== headerCrc(header.subarray(0, headerBytes))) {
    return "its GPT header is corrupt (checksum)";
  }
  if (readLba(header, HEADER.ownLba) !== 1) return "its GPT header does not belong to sector 1";
  const entryBytes = header.readUInt32LE(HEADER.entryBytes);
  if (entryBytes !== ENTRY_BYTES) return `its GPT has entries of ${entryBytes} bytes; Linux reads only ${ENTRY_BYTES}`;
  const entryCount = header.readUInt32LE(HEADER.entryCount);
  if (entryCount === 0 || entryCount > MAXIMUM_ENTRIES) return `its GPT has room for ${entryCount} partitions`;
  const [firstUsableLba, lastUsableLba, entriesLba] = [
    readLba(header, HEADER.firstUsableLba),
    readLba(header, HEADER.lastUsableLba),
    readLba(header, HEADER.entriesLba),
  ];
  const limit = Number.MAX_SAFE_INTEGER / sectorSizeBytes - 1;
  if (lastUsableLba > limit || entriesLba > limit) return "its GPT header points behind the end of any disk";
  if (firstUsableLba > lastUsableLba || entriesLba < 2) return "its GPT header contradicts itself";
  return {
    headerBytes,
    firstUsableLba,
    lastUsableLba,
    diskId: readGuid(header, HEADER.diskGuid),
    entriesLba,
    entryCount,
    entriesCrc: header.readUInt32LE(HEADER.entriesCrc),
  };
}

/** Parses the primary GPT behind a protective (or hybrid) MBR. */
export function parseGpt(head: Buffer, read: ReadBytes, sectorSizeBytes: number): ParsedTable {
  const header = parseGptHeader(head, sectorSizeBytes);
  if (typeof header === "string") return noTable(header);
  const offsetBytes = header.entriesLba * sectorSizeBytes;
  const lengthBytes = header.entryCount * ENTRY_BYTES;
  const entries = read(offsetBytes, lengthBytes);
  if (entries === null) return { kind: "missing", offsetBytes, lengthBytes };
  if (crc32(entries) !== header.entriesCrc) return noTable("the entries of its GPT are corrupt (checksum)");
  const partitions: Partition[] = [];
  for (let i = 0; i < header.entryCount; i++) {
    const entry = entries.subarray(i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES);
    const type = readGuid(entry, 0);
    if (type === UNUSED_TYPE) continue;
    const [firstLba, lastLba] = [readLba(entry, 32), readLba(entry, 40)];
    if (firstLba > lastLba) return noTable(`partition ${i + 1} ends before it starts`);
    if (firstLba < header.firstUsableLba || lastLba > header.lastUsableLba) {
      return noTable(`partition ${i + 1} lies outside the range that its GPT declares usable`);
    }
    partitions.push({
      number: i + 1,
      startBytes: firstLba * sectorSizeBytes,
      sizeBytes: (lastLba - firstLba + 1) * sectorSizeBytes,
      kind: "gpt",
      type,
      uuid: readGuid(entry, 16),
      name: readName(entry),
    });
  }
  if (partitions.length === 0) return noTable("its GPT has no partitions");
  const overlap = findOverlap(partitions);
  if (overlap !== null) return noTable(overlap);
  return makeTable("gpt", sectorSizeBytes, header.diskId, partitions);
}

/** The checksum of a header, computed with its checksum field as zero. */
export function headerCrc(header: Buffer): number {
  const copy = Buffer.from(header);
  copy.writeUInt32LE(0, HEADER.crc);
  return crc32(copy);
}

/** A sector number. Above 2^53 it is inexact, which is far behind every limit it is compared with. */
function readLba(buffer: Buffer, offset: number): number {
  return Number(buffer.readBigUInt64LE(offset));
}

/** A GUID as text: the first three groups are little-endian, the last two are bytes in order. */
export function readGuid(buffer: Buffer, offset: number): string {
  const hex = (start: number, end: number) => buffer.toString("hex", offset + start, offset + end);
  const reversed = (start: number, end: number) =>
    Buffer.from(buffer.subarray(offset + start, offset + end))
      .reverse()
      .toString("hex");
  return [reversed(0, 4), reversed(4, 6), reversed(6, 8), hex(8, 10), hex(10, 16)].join("-");
}

/** Writes a GUID as `readGuid` reads it. */
export function writeGuid(buffer: Buffer, offset: number, guid: string): void {
  const bytes = Buffer.from(guid.replaceAll("-", ""), "hex");
  if (bytes.length !== 16) throw new RangeError(`${guid} is no GUID`);
  for (const [start, end] of GUID_GROUPS) bytes.subarray(start, end).reverse();
  bytes.copy(buffer, offset);
}

/** The groups of a GUID that are stored the other way round. */
const GUID_GROUPS = [
  [0, 4],
  [4, 6],
  [6, 8],
] as const;

/** 36 UTF-16 units, ended by a zero or by the field. */
function readName(entry: Buffer): string | null {
  const text = entry.toString("utf16le", 56, ENTRY_BYTES);
  const name = text.split("\0", 1)[0] ?? "";
  return name === "" ? null : name;
}
