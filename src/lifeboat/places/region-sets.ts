/** Sets of bytes of a disk as lists of regions. Pure. */
import { type Region, subtractRegions } from "../../image/regions.ts";

/** The same bytes in order, each once; what touches is one region. */
export function mergeRegions(regions: readonly Region[]): Region[] {
  const merged: { offsetBytes: number; sizeBytes: number }[] = [];
  for (const { offsetBytes, sizeBytes } of regions.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    if (sizeBytes <= 0) continue;
    const last = merged.at(-1);
    if (last === undefined || last.offsetBytes + last.sizeBytes < offsetBytes) merged.push({ offsetBytes, sizeBytes });
    else last.sizeBytes = Math.max(last.sizeBytes, offsetBytes + sizeBytes - last.offsetBytes);
  }
  return merged;
}

/** What is in both; the lists may overlap themselves. */
export function intersectRegions(regions: readonly Region[], others: readonly Region[]): Region[] {
  const merged = mergeRegions(regions);
  return subtractRegions(merged, subtractRegions(merged, mergeRegions(others)));
}

/** Whether every byte of `inner` is in `outer`. */
export function coversRegions(outer: readonly Region[], inner: readonly Region[]): boolean {
  return subtractRegions(mergeRegions(inner), mergeRegions(outer)).length === 0;
}

/** The whole multiples of `alignment` in a region, or null. */
export function alignInward({ offsetBytes, sizeBytes }: Region, alignment: number): Region | null {
  const start = Math.ceil(offsetBytes / alignment) * alignment;
  const end = Math.floor((offsetBytes + sizeBytes) / alignment) * alignment;
  return start < end ? { offsetBytes: start, sizeBytes: end - start } : null;
}

/** The whole multiples of `alignment` that a region touches. */
export function alignOutward({ offsetBytes, sizeBytes }: Region, alignment: number): Region {
  const start = Math.floor(offsetBytes / alignment) * alignment;
  const end = Math.ceil((offsetBytes + sizeBytes) / alignment) * alignment;
  return { offsetBytes: start, sizeBytes: end - start };
}

/** How many bytes they are together; the list must not overlap itself. */
export function totalBytes(regions: readonly Region[]): number {
  return regions.reduce((sum, region) => sum + region.sizeBytes, 0);
}
