/** What tables of every kind have in common: how they are put together, and what no table may say. */
import type { ParsedTable, Partition } from "./table.ts";

/** The answer for an image without a valid table. */
export function noTable(reason: string): ParsedTable {
  return { kind: "none", reason };
}

/** Says which two partitions overlap, or null. An extended partition may hold logical ones, nothing else may. */
export function findOverlap(partitions: readonly Partition[]): string | null {
  const sorted = partitions.filter((p) => p.kind !== "extended").sort((a, b) => a.startBytes - b.startBytes);
  for (const [i, next] of sorted.entries()) {
    const before = sorted[i - 1];
    if (before !== undefined && before.startBytes + before.sizeBytes > next.startBytes) {
      return `partitions ${before.number} and ${next.number} overlap`;
    }
  }
  const extended = partitions.find((p) => p.kind === "extended");
  if (extended === undefined) return null;
  const intruder = partitions.find(
    (p) =>
      p.kind === "primary" &&
      p.startBytes < extended.startBytes + extended.sizeBytes &&
      p.startBytes + p.sizeBytes > extended.startBytes,
  );
  return intruder === undefined ? null : `partitions ${extended.number} and ${intruder.number} overlap`;
}

/** The facts in order, with the end that all partitions have in common. */
export function makeTable(
  type: "mbr" | "gpt",
  sectorSizeBytes: number,
  diskId: string,
  partitions: readonly Partition[],
): ParsedTable {
  const lastUsedByteEnd = Math.max(...partitions.map((p) => p.startBytes + p.sizeBytes));
  return { kind: "table", table: { type, sectorSizeBytes, diskId, partitions, lastUsedByteEnd } };
}
