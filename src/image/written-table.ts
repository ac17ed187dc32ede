/** Whether the partition table that was written is the one that was judged, by which files are about to be restored. */
import type { BlockDevice } from "../disk/block-device.ts";
import { type PartitionTable, parsePartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";

/** A chain of logical partitions asks for a sector at a time: this many are more than any disk has. */
const mostReads = 1000;

/**
 * The table is judged before the image is written; an image that is streamed comes anew from its server then, which may have
 * shown another table before. What counts is what its digests have proven.
 * @param head the first MiB of the image, which is not on the device yet
 * @throws ReimageError `image` where the tables differ.
 */
export async function requireJudgedTable(
  judged: PartitionTable,
  head: Buffer,
  device: BlockDevice,
  name: string,
): Promise<void> {
  const seen = [{ offsetBytes: 0, data: head }];
  const read = (offsetBytes: number, sizeBytes: number) => {
    const part = seen.find((s) => offsetBytes >= s.offsetBytes && offsetBytes + sizeBytes <= endOf(s));
    if (part === undefined) return null;
    return part.data.subarray(offsetBytes - part.offsetBytes, offsetBytes - part.offsetBytes + sizeBytes);
  };
  for (let reads = 0; reads < mostReads; reads += 1) {
    const parsed = parsePartitionTable(read, judged.sectorSizeBytes);
    if (parsed.kind === "table" && Bun.deepEquals(parsed.table, judged)) return;
    if (parsed.kind !== "missing") break;
    const { offsetBytes, lengthBytes } = parsed;
    const data = Buffer.alloc(lengthBytes);
    await device.readAt(data, offsetBytes);
    head.copy(data, 0, Math.min(offsetBytes, head.length));
    seen.push({ offsetBytes, data });
  }
  throw new ReimageError(
    "image",
    `image ${name} has another partition table than when it was judged, so nothing is restored into it`,
    { hint: "somebody changes the image, or its server is not to be trusted; use another server, and start again" },
  );
}

function endOf({ offsetBytes, data }: { readonly offsetBytes: number; readonly data: Buffer }): number {
  return offsetBytes + data.length;
}
