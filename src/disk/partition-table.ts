/** What a partition table says, whatever its kind: the facts that mbr.ts and gpt.ts parse, and the choice between them. */
import { detectGptSectorSize, parseGpt } from "./gpt.ts";
import { hasMbrSignature, isProtectedByMbr, parseMbr } from "./mbr.ts";
import { noTable } from "./table-checks.ts";

export { detectGptSectorSize } from "./gpt.ts";
export { type RelocatedGpt, relocateGpt } from "./gpt-relocate.ts";

/** One partition, numbered as Linux numbers it. */
export interface Partition {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly kind: "primary" | "extended" | "logical" | "gpt";
  /** MBR: the type byte as two hex digits ("83"); GPT: the type GUID in lower case. */
  readonly type: string;
  /** PARTUUID as blkid prints it: the GUID, or `<disk signature>-<number>` in hex. */
  readonly uuid: string;
  /** PARTLABEL; null where there is none (always so in an MBR). */
  readonly name: string | null;
}

/** A valid partition table with at least one partition. */
export interface PartitionTable {
  readonly type: "mbr" | "gpt";
  readonly sectorSizeBytes: number;
  /** MBR: the disk signature as 8 hex digits; GPT: the disk GUID in lower case. */
  readonly diskId: string;
  readonly partitions: readonly Partition[];
  /** The first byte behind the last partition. A GPT's backup is not counted: it moves to the end of the disk. */
  readonly lastUsedByteEnd: number;
}

/** A table; or the first range of bytes that is needed and not there yet; or why there is no valid table. */
export type ParsedTable =
  | { readonly kind: "table"; readonly table: PartitionTable }
  | { readonly kind: "missing"; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Returns `lengthBytes` bytes of the image at `offsetBytes`, or null where they have not been captured yet. Bytes
 * behind the end of the image may be returned as zeros: nothing valid is made of zeros.
 */
export type ReadBytes = (offsetBytes: number, lengthBytes: number) => Buffer | null;

/** The part of a disk or an image that is asked for first, whatever its sector size: boot code and both GPT headers. */
const HEAD_BYTES = 8192;

/**
 * Parses the partition table of a disk or an image as Linux does, except that a table which contradicts itself is
 * `none`, where Linux takes what it can. Throws nothing.
 *
 * While the answer is `missing`, the caller provides that range and asks again. The ranges mostly grow (a logical
 * partition's sector lies behind the one that links to it), but not always: fdisk may leave logical partitions that
 * are not in disk order, and then a range lies *before* what has been read so far.
 */
export function parsePartitionTable(read: ReadBytes, sectorSizeBytes: number): ParsedTable {
  const head = read(0, HEAD_BYTES);
  if (head === null) return { kind: "missing", offsetBytes: 0, lengthBytes: HEAD_BYTES };
  if (!hasMbrSignature(head)) {
    return noTable(
      detectGptSectorSize(head) === null
        ? "its first sector has no boot signature (55 aa)"
        : "it has a GPT but no protective MBR, so Linux does not read the GPT",
    );
  }
  if (!isProtectedByMbr(head)) return parseMbr(head, read, sectorSizeBytes);
  const madeFor = detectGptSectorSize(head);
  if (madeFor !== null && madeFor !== sectorSizeBytes) {
    return noTable(`its GPT was made for sectors of ${madeFor} bytes, not ${sectorSizeBytes}`);
  }
  return parseGpt(head, read, sectorSizeBytes);
}
