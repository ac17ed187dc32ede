/**
 * The lifeboat on the disk: what lies where (docs/lifeboat.md shows it as a picture). Pure.
 *
 * The *boot extent* is one stretch: header, two copies of the record, the table entries and the old first MiB, and the boot
 * volume. The *bulk* may lie in several stretches, which count as one, one behind the other.
 */
import { ReimageError } from "../errors.ts";
import type { Region } from "../image/regions.ts";

/** Offsets in the boot extent, in bytes. */
export const bootLayout = {
  header: 0,
  headerBytes: 32 << 10,
  /** Two copies, each of one 4 KiB sector, or of eight of 512 bytes. */
  records: [32 << 10, 36 << 10],
  recordBytes: 4 << 10,
  /** Form `gpt`: the entries of the transitional table. */
  tableEntries: 64 << 10,
  /** The first MiB of the disk as it was when it was armed. */
  oldHead: 128 << 10,
  volume: 2 << 20,
} as const;

/** Everything is a multiple of this, so that direct writes work on every disk. */
export const alignmentBytes = 4096;

/** What is in the bulk, as stretches of it. */
export interface BulkLayout {
  /** Written in turn: what the record names stays whole while the other one is written. */
  readonly facts: readonly [Region, Region];
  readonly retained: Region;
  readonly image: Region;
}

/** The sizes that decide how large a lifeboat is. */
export interface BulkNeeds {
  readonly imageBytes: number;
  /** Room for the archive of the retained files and its index. */
  readonly retainedBytes: number;
  /** Room for the state of the run and the first MiB of the new image. */
  readonly factsBytes: number;
}

/** Lays the bulk out. @returns the layout and how many bytes it takes. */
export function layOutBulk(needs: BulkNeeds): { readonly layout: BulkLayout; readonly sizeBytes: number } {
  let at = 0;
  const take = (bytes: number): Region => {
    const region = { offsetBytes: at, sizeBytes: alignUp(bytes) };
    at += region.sizeBytes;
    return region;
  };
  const layout = {
    facts: [take(needs.factsBytes), take(needs.factsBytes)] as const,
    retained: take(needs.retainedBytes),
    image: take(needs.imageBytes),
  };
  return { layout, sizeBytes: at };
}

/** Rounds up to the alignment. */
export function alignUp(bytes: number): number {
  return Math.ceil(bytes / alignmentBytes) * alignmentBytes;
}

/**
 * Where a stretch of the bulk lies on the disk, in order.
 * @throws ReimageError `lifeboat` where the extents do not hold it.
 */
export function mapBulk(extents: readonly Region[], { offsetBytes, sizeBytes }: Region): Region[] {
  const found: Region[] = [];
  let extentStart = 0;
  for (const extent of extents) {
    const from = Math.max(offsetBytes, extentStart);
    const to = Math.min(offsetBytes + sizeBytes, extentStart + extent.sizeBytes);
    if (from < to) found.push({ offsetBytes: extent.offsetBytes + from - extentStart, sizeBytes: to - from });
    extentStart += extent.sizeBytes;
  }
  if (found.reduce((sum, region) => sum + region.sizeBytes, 0) === sizeBytes) return found;
  throw new ReimageError("lifeboat", `the lifeboat has no bytes ${offsetBytes} to ${offsetBytes + sizeBytes}`, {
    hint: "what describes the lifeboat contradicts itself: disarm, and arm again",
  });
}
