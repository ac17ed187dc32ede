/** Which kind of partition table a disk or an image has: the choice between mbr.ts and gpt.ts. */
import { detectGptSectorSize, parseGpt } from "./gpt.ts";
import { hasMbrSignature, isProtectedByMbr, parseMbr } from "./mbr.ts";
import type { ParsedTable, ReadBytes } from "./table.ts";
import { noTable } from "./table-checks.ts";

export { detectGptSectorSize } from "./gpt.ts";
export { type RelocatedGpt, relocateGpt } from "./gpt-relocate.ts";

export type { ParsedTable, Partition, PartitionTable, ReadBytes } from "./table.ts";

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
