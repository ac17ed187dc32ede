/**
 * What firmware makes of a disk, by the UEFI specification and EDK2 (MdeModulePkg/Universal/Disk/PartitionDxe), without any
 * code of reimage: a table whose primary is damaged is taken from the backup, and a damaged copy is repaired.
 */
import { crc32 } from "node:zlib";

/** A partition as firmware finds it, in bytes. */
export interface FoundPartition {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** The type byte, or the type GUID as it is stored, in hex. */
  readonly type: string;
  /** The PARTUUID as it is stored, in hex; empty in an MBR. */
  readonly uuid: string;
}

interface Header {
  readonly bytes: Buffer;
  readonly entries: Buffer;
  readonly firstUsable: bigint;
  readonly lastUsable: bigint;
  readonly other: bigint;
}

/** The partitions that UEFI firmware finds; it repairs `disk` as firmware does. */
export function uefiPartitions(disk: Buffer, sector: number): FoundPartition[] {
  if (disk.readUInt16LE(510) !== 0xaa55) return [];
  const slots = [0, 1, 2, 3].map((slot) => disk.subarray(446 + slot * 16, 446 + (slot + 1) * 16));
  const isProtective = slots.some((s) => s[0] === 0 && s[4] === 0xee && s.readUInt32LE(8) === 1);
  if (!isProtective) return mbrPartitions(disk, sector);
  const last = BigInt(disk.length / sector - 1);
  let primary = validHeader(disk, sector, 1n);
  if (primary === null) {
    const backup = validHeader(disk, sector, last);
    if (backup === null) return [];
    restore(disk, sector, backup, backup.other, 2n);
    primary = validHeader(disk, sector, 1n);
    if (primary === null) return [];
  } else if (validHeader(disk, sector, primary.other) === null) {
    restore(disk, sector, primary, primary.other, primary.lastUsable + 1n);
  }
  const found: FoundPartition[] = [];
  for (let index = 0; index * 128 < primary.entries.length; index += 1) {
    const entry = primary.entries.subarray(index * 128, (index + 1) * 128);
    const [first, end] = [entry.readBigUInt64LE(32), entry.readBigUInt64LE(40)];
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    if (first < primary.firstUsable || end > primary.lastUsable || first > end) continue; // "OutOfRange"
    found.push({
      number: index + 1,
      startBytes: Number(first) * sector,
      sizeBytes: Number(end - first + 1n) * sector,
      type: entry.toString("hex", 0, 16),
      uuid: entry.toString("hex", 16, 32),
    });
  }
  return found;
}

/** The partitions of an MBR, whatever their types. */
export function mbrPartitions(disk: Buffer, sector: number): FoundPartition[] {
  return [0, 1, 2, 3].flatMap((slot) => {
    const entry = disk.subarray(446 + slot * 16, 446 + (slot + 1) * 16);
    const [type, start, count] = [entry.readUInt8(4), entry.readUInt32LE(8), entry.readUInt32LE(12)];
    if (type === 0 || count === 0) return [];
    const place = { startBytes: start * sector, sizeBytes: count * sector };
    return [{ number: slot + 1, ...place, type: type.toString(16).padStart(2, "0"), uuid: "" }];
  });
}

function validHeader(disk: Buffer, sector: number, lba: bigint): Header | null {
  const at = Number(lba) * sector;
  if (at + sector > disk.length) return null;
  const bytes = disk.subarray(at, at + sector);
  const sizeBytes = bytes.readUInt32LE(12);
  if (bytes.toString("latin1", 0, 8) !== "EFI PART" || sizeBytes < 92 || sizeBytes > sector) return null;
  const unsigned = Buffer.from(bytes.subarray(0, sizeBytes));
  unsigned.writeUInt32LE(0, 16);
  if (crc32(unsigned) !== bytes.readUInt32LE(16) || bytes.readBigUInt64LE(24) !== lba) return null;
  const entriesAt = Number(bytes.readBigUInt64LE(72)) * sector;
  const entries = disk.subarray(entriesAt, entriesAt + bytes.readUInt32LE(80) * bytes.readUInt32LE(84));
  if (crc32(entries) !== bytes.readUInt32LE(88)) return null;
  const [firstUsable, lastUsable] = [bytes.readBigUInt64LE(40), bytes.readBigUInt64LE(48)];
  return {
    bytes: Buffer.from(bytes),
    entries: Buffer.from(entries),
    firstUsable,
    lastUsable,
    other: bytes.readBigUInt64LE(32),
  };
}

function restore(disk: Buffer, sector: number, from: Header, to: bigint, entriesLba: bigint): void {
  const header = Buffer.from(from.bytes);
  header.writeBigUInt64LE(to, 24);
  header.writeBigUInt64LE(from.bytes.readBigUInt64LE(24), 32);
  header.writeBigUInt64LE(entriesLba, 72);
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header.subarray(0, header.readUInt32LE(12))), 16);
  header.copy(disk, Number(to) * sector);
  from.entries.copy(disk, Number(entriesLba) * sector);
}
