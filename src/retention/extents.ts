/** Which parts of a file hold data, lseek(2) SEEK_DATA and SEEK_HOLE: a sparse file of 1 TiB costs what it stores. */
import { seekDataOrHole } from "../system/libc.ts";
import type { Extent } from "./entry.ts";

/** The extents of an open file of `sizeBytes`, in order; a file system that knows no holes gives one over all of it. */
export function readExtents(fd: number, sizeBytes: number): Extent[] {
  const extents: Extent[] = [];
  for (let at = 0; at < sizeBytes; ) {
    const data = seekDataOrHole(fd, at, "data");
    if (data === null || data >= sizeBytes) break;
    const hole = seekDataOrHole(fd, data, "hole") ?? sizeBytes;
    const end = Math.min(hole, sizeBytes);
    extents.push({ offsetBytes: data, lengthBytes: end - data });
    at = end;
  }
  return extents;
}

/** The number of bytes in the extents. */
export function sumExtents(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
}

/** Whether a file of `sizeBytes` with these extents has a hole. */
export function hasHole(extents: readonly Extent[], sizeBytes: number): boolean {
  return sumExtents(extents) < sizeBytes;
}
