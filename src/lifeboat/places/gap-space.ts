/** Which space of a disk is in no partition. Pure. */
import type { Disk } from "../../disk/disk.ts";
import { HEADER } from "../../disk/gpt.ts";
import type { PartitionTable } from "../../disk/partition-table.ts";
import { type Region, subtractRegions } from "../../image/regions.ts";
import { mergeRegions } from "./region-sets.ts";

/** Smaller ones are left by alignment, and boot managers and copy protections have hidden things there. */
const smallestGapBytes = 1 << 20;
/** A GPT's entries lie within this of its header. */
const gptBytes = 1 << 20;

/**
 * The gaps of a disk, in order. What either the table or the kernel calls a partition is none. An extended partition is
 * occupied as a whole: its logical partitions hang on sectors in it (EBRs) that the table does not tell, and a byte of one
 * would lose all that follow.
 * @param secondSector the second sector of the disk: it tells where the backup of a GPT lies, which is not at the end of a
 * disk that has grown.
 */
export function findGaps(disk: Disk, table: PartitionTable, secondSector: Buffer): Region[] {
  const partitions = [...table.partitions, ...disk.partitions].map(({ startBytes, sizeBytes }) => ({
    offsetBytes: startBytes,
    sizeBytes,
  }));
  const edges = [
    { offsetBytes: 0, sizeBytes: gptBytes },
    { offsetBytes: disk.sizeBytes - gptBytes, sizeBytes: gptBytes },
    ...(table.type === "gpt" ? [backupTable(secondSector, disk.sectorSizeBytes)] : []),
  ];
  const whole = { offsetBytes: 0, sizeBytes: disk.sizeBytes };
  return subtractRegions([whole], mergeRegions([...partitions, ...edges])).filter(
    ({ sizeBytes }) => sizeBytes >= smallestGapBytes,
  );
}

function backupTable(header: Buffer, sectorSizeBytes: number): Region {
  const endBytes = (Number(header.readBigUInt64LE(HEADER.otherLba)) + 1) * sectorSizeBytes;
  const offsetBytes = Math.max(0, endBytes - gptBytes);
  return { offsetBytes, sizeBytes: endBytes - offsetBytes };
}
