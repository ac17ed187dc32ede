/**
 * The DOS partition table: four entries in the first sector, one of which may be an extended partition that holds a
 * chain of further sectors (EBRs), one for each logical partition. Read as block/partitions/msdos.c of Linux reads it.
 */
import type { ParsedTable, Partition, ReadBytes } from "./table.ts";
import { findOverlap, makeTable, noTable } from "./table-checks.ts";

const TABLE_OFFSET = 446;
const ENTRY_BYTES = 16;
const DISK_SIGNATURE_OFFSET = 440;
const PROTECTIVE_TYPE = 0xee;
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85];
const FIRST_LOGICAL_NUMBER = 5;
// More than any tool makes; Linux itself stops at 255 partitions on a disk.
const MAXIMUM_LOGICAL = 251;

/** An entry as it stands in the sector; start and length in sectors of the disk. */
interface Entry {
  readonly bootIndicator: number;
  readonly type: number;
  readonly startSector: number;
  readonly sectors: number;
}

/** Whether a first sector ends with 55 aa. */
export function hasMbrSignature(sector: Buffer): boolean {
  return sector.length >= 512 && sector.readUInt16BE(510) === 0x55aa;
}

/** Whether an entry says that a GPT follows, which makes Linux read that, hybrid or not. */
export function isProtectedByMbr(sector: Buffer): boolean {
  return readEntries(sector).some((entry) => entry.type === PROTECTIVE_TYPE && entry.startSector === 1);
}

/** Parses an MBR and its chain of EBRs. `head` starts with the first sector. */
export function parseMbr(head: Buffer, read: ReadBytes, sectorSizeBytes: number): ParsedTable {
  const entries = readEntries(head);
  if (entries.some((entry) => entry.bootIndicator !== 0 && entry.bootIndicator !== 0x80)) {
    return noTable("its first sector holds code where partitions belong: the boot sector of a file system, not an MBR");
  }
  if (entries.some((entry) => entry.type === PROTECTIVE_TYPE)) {
    return noTable("its MBR says that a GPT follows, but not at sector 1");
  }
  const signature = head.readUInt32LE(DISK_SIGNATURE_OFFSET);
  const partitions: Partition[] = [];
  for (const [slot, entry] of entries.entries()) {
    if (entry.sectors === 0) continue;
    if (entry.startSector === 0) return noTable(`partition ${slot + 1} starts at the partition table itself`);
    const kind = EXTENDED_TYPES.includes(entry.type) ? "extended" : "primary";
    partitions.push(toPartition(entry, slot + 1, kind, 0, sectorSizeBytes, signature));
  }
  if (partitions.length === 0) return noTable("its MBR has no partitions");
  const extended = partitions.filter((partition) => partition.kind === "extended");
  if (extended.length > 1) return noTable(`its MBR has ${extended.length} extended partitions`);
  const [container] = extended;
  if (container !== undefined) {
    const answer = followChain(container, read, sectorSizeBytes, signature);
    if (!Array.isArray(answer)) return answer;
    partitions.push(...answer);
  }
  const overlap = findOverlap(partitions);
  if (overlap !== null) return noTable(overlap);
  return makeTable("mbr", sectorSizeBytes, hex(signature, 8), partitions);
}

/**
 * The logical partitions of an extended one. The data entry of an EBR counts from the EBR itself, the link to the next
 * EBR from the start of the extended partition. The chain may run backwards (fdisk leaves it so), but not in circles.
 */
function followChain(
  extended: Partition,
  read: ReadBytes,
  sectorSizeBytes: number,
  signature: number,
): Partition[] | ParsedTable {
  const end = extended.startBytes + extended.sizeBytes;
  const logical: Partition[] = [];
  const visited = new Set<number>();
  let ebrBytes = extended.startBytes;
  for (;;) {
    const where = `the logical partition table at byte ${ebrBytes}`;
    if (visited.has(ebrBytes)) return noTable(`the chain of logical partitions comes back to byte ${ebrBytes}`);
    visited.add(ebrBytes);
    if (visited.size > MAXIMUM_LOGICAL) return noTable(`it has more than ${MAXIMUM_LOGICAL} logical partitions`);
    const sector = read(ebrBytes, 512);
    if (sector === null) return { kind: "missing", offsetBytes: ebrBytes, lengthBytes: 512 };
    // An extended partition that was never used starts with anything; only a link must lead to a valid sector.
    if (!hasMbrSignature(sector)) {
      return ebrBytes === extended.startBytes ? [] : noTable(`${where} has no signature (55 aa)`);
    }
    // Old systems left garbage in the third and fourth entry: Linux ignores what points outside, and so does this.
    const used = readEntries(sector).filter(
      ({ startSector, sectors }, slot) =>
        sectors > 0 && (slot < 2 || ebrBytes + (startSector + sectors) * sectorSizeBytes <= end),
    );
    const links = used.filter((entry) => EXTENDED_TYPES.includes(entry.type));
    const data = used.filter((entry) => !EXTENDED_TYPES.includes(entry.type));
    if (links.length > 1 || data.length > 1)
      return noTable(`${where} has more entries than one partition and one link`);
    for (const entry of data) {
      const number = FIRST_LOGICAL_NUMBER + logical.length;
      const partition = toPartition(entry, number, "logical", ebrBytes, sectorSizeBytes, signature);
      if (entry.startSector === 0) return noTable(`partition ${number} starts at its own partition table`);
      if (partition.startBytes + partition.sizeBytes > end) {
        return noTable(`partition ${number} ends behind the extended partition ${extended.number}`);
      }
      logical.push(partition);
    }
    const [link] = links;
    if (link === undefined) return overwrittenEbr(logical, visited) ?? logical;
    ebrBytes = extended.startBytes + link.startSector * sectorSizeBytes;
    if (ebrBytes + sectorSizeBytes > end) {
      return noTable(`${where} links to byte ${ebrBytes}, outside the extended partition ${extended.number}`);
    }
  }
}

/** A chain sector inside a logical partition would be overwritten by that partition's own content. */
function overwrittenEbr(logical: readonly Partition[], ebrs: ReadonlySet<number>): ParsedTable | null {
  for (const { number, startBytes, sizeBytes } of logical) {
    for (const ebr of ebrs) {
      if (ebr >= startBytes && ebr < startBytes + sizeBytes) {
        return noTable(`partition ${number} covers the logical partition table at byte ${ebr}`);
      }
    }
  }
  return null;
}

/** The four entries of a sector, used or not. */
export function readEntries(sector: Buffer): Entry[] {
  return [0, 1, 2, 3].map((slot) => {
    const offset = TABLE_OFFSET + slot * ENTRY_BYTES;
    return {
      bootIndicator: sector.readUInt8(offset),
      type: sector.readUInt8(offset + 4),
      startSector: sector.readUInt32LE(offset + 8),
      sectors: sector.readUInt32LE(offset + 12),
    };
  });
}

function toPartition(
  entry: Entry,
  number: number,
  kind: Partition["kind"],
  baseBytes: number,
  sectorSizeBytes: number,
  signature: number,
): Partition {
  return {
    number,
    startBytes: baseBytes + entry.startSector * sectorSizeBytes,
    sizeBytes: entry.sectors * sectorSizeBytes,
    kind,
    type: hex(entry.type, 2),
    uuid: `${hex(signature, 8)}-${hex(number, 2)}`,
    name: null,
  };
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
