/** How the bytes of a device, and of a file on it, lie on a disk. Pure. */
import type { Region } from "../../image/regions.ts";
import type { FileExtent } from "./fiemap.ts";
import { alignOutward, intersectRegions, mergeRegions } from "./region-sets.ts";

/** A stretch of a device (or a file) that lies in one piece on what is below it. */
export interface Segment {
  readonly fromBytes: number;
  /** Where it lies below. */
  readonly toBytes: number;
  readonly sizeBytes: number;
}

/** What lies on something that itself lies on something: a file on a logical volume on a partition. */
export function composeSegments(upper: readonly Segment[], lower: readonly Segment[]): Segment[] {
  return upper.flatMap((over) =>
    lower.flatMap((under) => {
      const start = Math.max(over.toBytes, under.fromBytes);
      const end = Math.min(over.toBytes + over.sizeBytes, under.fromBytes + under.sizeBytes);
      if (start >= end) return [];
      return [
        {
          fromBytes: over.fromBytes + start - over.toBytes,
          toBytes: under.toBytes + start - under.fromBytes,
          sizeBytes: end - start,
        },
      ];
    }),
  );
}

export function extentSegments(extents: readonly FileExtent[]): Segment[] {
  return extents.map(({ fileOffsetBytes, deviceOffsetBytes, sizeBytes }) => ({
    fromBytes: fileOffsetBytes,
    toBytes: deviceOffsetBytes,
    sizeBytes,
  }));
}

/** Where the segments lie, below. */
export function lowerRegions(segments: readonly Segment[]): Region[] {
  return mergeRegions(segments.map(({ toBytes, sizeBytes }) => ({ offsetBytes: toBytes, sizeBytes })));
}

/** The parts of segments that lie in `regions` below, in order, neighbours that belong together as one. */
export function segmentsWithin(segments: readonly Segment[], regions: readonly Region[]): Segment[] {
  const identity = mergeRegions(regions).map(({ offsetBytes, sizeBytes }) => ({
    fromBytes: offsetBytes,
    toBytes: offsetBytes,
    sizeBytes,
  }));
  const joined: { fromBytes: number; toBytes: number; sizeBytes: number }[] = [];
  for (const part of composeSegments(segments, identity).sort((a, b) => a.toBytes - b.toBytes)) {
    const last = joined.at(-1);
    const continues =
      last !== undefined &&
      last.fromBytes + last.sizeBytes === part.fromBytes &&
      last.toBytes + last.sizeBytes === part.toBytes;
    if (continues) last.sizeBytes += part.sizeBytes;
    else joined.push({ ...part });
  }
  return joined;
}

/** The blocks above that the segments touch, within the first `sizeBytes`. */
export function touchedBlocks(segments: readonly Segment[], blockBytes: number, sizeBytes: number): Region[] {
  const blocks = segments.map((part) =>
    alignOutward({ offsetBytes: part.fromBytes, sizeBytes: part.sizeBytes }, blockBytes),
  );
  return intersectRegions(blocks, [{ offsetBytes: 0, sizeBytes }]);
}
