/** Builds partition tables byte by byte, valid and broken, without the code under test. */
import { crc32 } from "node:zlib";

export interface MbrEntry {
  readonly type: number;
  readonly start: number;
  readonly sectors: number;
  readonly boot?: number;
}

/** A sector with up to four entries and 55 aa. */
export function mbrSector(entries: readonly (MbrEntry | null)[], signature = 0x12345678): Buffer {
  const sector = Buffer.alloc(512);
  sector.writeUInt32LE(signature, 440);
  for (const [slot, entry] of entries.entries()) {
    if (entry === null) continue;
    const offset = 446 + slot * 16;
    sector.writeUInt8(entry.boot ?? 0, offset);
    sector.writeUInt8(entry.type, offset + 4);
    sector.writeUInt32LE(entry.start, offset + 8);
    sector.writeUInt32LE(entry.sectors, offset + 12);
  }
  sector.writeUInt16BE(0x55aa, 510);
  return sector;
}

/** Pieces of a disk: reads inside them answer, reads anywhere else are zeros up to the size, and null behind it. */
export function diskOf(sizeBytes: number, pieces: ReadonlyMap<number, Buffer>) {
  return (offsetBytes: number, lengthBytes: number): Buffer | null => {
    if (offsetBytes + lengthBytes > sizeBytes) return null;
    const answer = Buffer.alloc(lengthBytes);
    for (const [start, piece] of pieces) {
      const from = Math.max(start, offsetBytes);
      const to = Math.min(start + piece.length, offsetBytes + lengthBytes);
      if (from < to) piece.copy(answer, from - offsetBytes, from - start, to - start);
    }
    return answer;
  };
}

export interface GptEntry {
  readonly slot: number;
  readonly firstLba: number;
  readonly lastLba: number;
  readonly name?: string;
}

export interface GptOptions {
  readonly sector: 512 | 4096;
  readonly diskSectors: number;
  readonly entryCount?: number;
  readonly entryBytes?: number;
  readonly entriesLba?: number;
  readonly hybrid?: MbrEntry;
}

/** The first MiB of a disk with a GPT. The partitions' type GUID is Linux data, their GUIDs count up. */
export function gptHead(partitions: readonly GptEntry[], options: GptOptions): Buffer {
  const { sector, diskSectors, entryCount = 128, entryBytes = 128, entriesLba = 2, hybrid = null } = options;
  const head = Buffer.alloc(1024 * 1024);
  mbrSector([{ type: 0xee, start: 1, sectors: Math.min(diskSectors - 1, 0xffffffff) }, hybrid]).copy(head);
  const entries = Buffer.alloc(entryCount * entryBytes);
  for (const { slot, firstLba, lastLba, name = "" } of partitions) {
    const entry = entries.subarray((slot - 1) * entryBytes, slot * entryBytes);
    Buffer.from("af3dc60f838472478e793d69d8477de4", "hex").copy(entry);
    entry.writeUInt8(slot, 31);
    entry.writeBigUInt64LE(BigInt(firstLba), 32);
    entry.writeBigUInt64LE(BigInt(lastLba), 40);
    Buffer.from(name, "utf16le").copy(entry, 56);
  }
  entries.copy(head, entriesLba * sector);
  const entriesSectors = Math.ceil(entries.length / sector);
  const header = head.subarray(sector, sector + 92);
  header.write("EFI PART", 0, "latin1");
  header.writeUInt32LE(0x00010000, 8);
  header.writeUInt32LE(92, 12);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(diskSectors - 1), 32);
  header.writeBigUInt64LE(BigInt(entriesLba + entriesSectors), 40);
  header.writeBigUInt64LE(BigInt(diskSectors - entriesSectors - 2), 48);
  Buffer.from("00112233445566778899aabbccddeeff", "hex").copy(header, 56);
  header.writeBigUInt64LE(BigInt(entriesLba), 72);
  header.writeUInt32LE(entryCount, 80);
  header.writeUInt32LE(entryBytes, 84);
  header.writeUInt32LE(crc32(entries), 88);
  signHeader(head, sector);
  return head;
}

/** Puts the right checksum into a primary header that was changed. */
export function signHeader(head: Buffer, sector: number): void {
  const header = head.subarray(sector, sector + 92);
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header), 16);
}

/** A small generator of the same numbers for the same seed (mulberry32), as integers below `limit`. */
export function seeded(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}
