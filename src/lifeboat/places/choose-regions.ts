/** Chooses where the lifeboat lies among regions that are free. Pure. */
import { type Region, subtractRegions } from "../../image/regions.ts";
import { formatBytes } from "../../report/format.ts";
import type { PlaceNeeds } from "./place.ts";
import { alignInward, mergeRegions, totalBytes } from "./region-sets.ts";

/** Every region of a lifeboat begins and ends at a multiple of this, so that direct writes work on every disk. */
export const alignmentBytes = 4096;
/** The boot extent begins at a multiple of this, as partitions do: the boot volume in it is one. */
export const bootAlignmentBytes = 1 << 20;
/** The header has room for the description of so many. */
export const maximumBulkExtents = 32;
/** Left alone at both ends of the disk: boot sectors, partition tables, boot loaders, and what RAID controllers write. */
const edgeBytes = 1 << 20;

export interface Room {
  readonly boot: Region;
  /** In order of the disk. */
  readonly bulk: readonly Region[];
}

/** Why there is no room, in bytes. */
export interface Shortage {
  readonly neededBytes: number;
  readonly neededContiguousBytes: number;
  /** All that can be used. */
  readonly usableBytes: number;
  /** The most in one piece, from a multiple of 1 MiB on. */
  readonly contiguousBytes: number;
}

export type Choice = { readonly room: Room } | { readonly shortage: Shortage };

/** What of `free` a lifeboat may lie in: nothing of `forbidden`, not the first or the last MiB of the disk, whole 4 KiB. */
export function usableRegions(free: readonly Region[], forbidden: readonly Region[], diskSizeBytes: number): Region[] {
  const edges = [
    { offsetBytes: 0, sizeBytes: edgeBytes },
    { offsetBytes: diskSizeBytes - edgeBytes, sizeBytes: Number.MAX_SAFE_INTEGER - diskSizeBytes },
  ];
  const left = subtractRegions(mergeRegions(free), mergeRegions([...forbidden, ...edges]));
  return left.flatMap((region) => alignInward(region, alignmentBytes) ?? []);
}

/**
 * The boot extent goes where it and the bulk fit in one piece, else into the smallest region that holds it, so that the
 * bulk has few extents. @param usable as `usableRegions` makes it
 */
export function chooseRegions(usable: readonly Region[], needs: PlaceNeeds): Choice {
  const bootBytes = Math.ceil(needs.bootBytes / alignmentBytes) * alignmentBytes;
  const bulkBytes = Math.ceil(needs.bulkBytes / alignmentBytes) * alignmentBytes;
  const fitting = usable
    .filter((region) => bootRoomBytes(region) >= bootBytes)
    .toSorted((a, b) => a.sizeBytes - b.sizeBytes || a.offsetBytes - b.offsetBytes);
  const whole = fitting.filter((region) => bootRoomBytes(region) >= bootBytes + bulkBytes);
  for (const region of [...whole, ...fitting]) {
    const boot = { offsetBytes: bootStart(region), sizeBytes: bootBytes };
    const rest = subtractRegions(usable, [boot]);
    // Right behind the boot extent is best, where all of it fits there.
    const behind = rest.find((each) => each.offsetBytes === boot.offsetBytes + bootBytes);
    const isEnough = behind !== undefined && behind.sizeBytes >= bulkBytes;
    const bulk = isEnough ? takeFrom([behind], bulkBytes) : chooseBulk(rest, bulkBytes);
    if (bulk !== null) return { room: { boot, bulk } };
  }
  return {
    shortage: {
      neededBytes: bootBytes + bulkBytes,
      neededContiguousBytes: bootBytes,
      usableBytes: totalBytes(usable),
      contiguousBytes: usable.reduce((most, region) => Math.max(most, bootRoomBytes(region)), 0),
    },
  };
}

/** `412.0 MiB needed (96.0 MiB of it in one piece), …` */
export function describeShortage(shortage: Shortage): string {
  const { neededBytes, neededContiguousBytes, usableBytes, contiguousBytes } = shortage;
  const needed = `${formatBytes(neededBytes)} needed (${formatBytes(neededContiguousBytes)} of it in one piece)`;
  const found = `${formatBytes(usableBytes)} usable (${formatBytes(contiguousBytes)} in one piece)`;
  const isScattered = usableBytes >= neededBytes && contiguousBytes >= neededContiguousBytes;
  return `${needed}, ${found}${isScattered ? `, but not in ${maximumBulkExtents + 1} pieces` : ""}`;
}

/** The largest regions, as many as it takes. Null where 32 do not hold it. */
function chooseBulk(regions: readonly Region[], bulkBytes: number): Region[] | null {
  const largest = regions.toSorted((a, b) => b.sizeBytes - a.sizeBytes || a.offsetBytes - b.offsetBytes);
  return takeFrom(largest.slice(0, maximumBulkExtents), bulkBytes);
}

function takeFrom(regions: readonly Region[], bulkBytes: number): Region[] | null {
  const taken: Region[] = [];
  let missingBytes = bulkBytes;
  for (const { offsetBytes, sizeBytes } of regions) {
    if (missingBytes === 0) break;
    const partBytes = Math.min(sizeBytes, missingBytes);
    taken.push({ offsetBytes, sizeBytes: partBytes });
    missingBytes -= partBytes;
  }
  return missingBytes > 0 ? null : taken.sort((a, b) => a.offsetBytes - b.offsetBytes);
}

function bootStart({ offsetBytes }: Region): number {
  return Math.ceil(offsetBytes / bootAlignmentBytes) * bootAlignmentBytes;
}

function bootRoomBytes(region: Region): number {
  return Math.max(0, region.offsetBytes + region.sizeBytes - bootStart(region));
}
