/** Stretches of a disk, and what is left of them. Pure. */

/** From `offsetBytes` up to, but not including, `offsetBytes + sizeBytes`. */
export interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** What of `regions` lies in none of `without`, in order. Neither list has to be sorted; neither may overlap itself. */
export function subtractRegions(regions: readonly Region[], without: readonly Region[]): Region[] {
  const holes = without.filter(({ sizeBytes }) => sizeBytes > 0).toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  const left: Region[] = [];
  let first = 0;
  for (const region of regions.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    const endBytes = region.offsetBytes + region.sizeBytes;
    let atBytes = region.offsetBytes;
    while (first < holes.length && endOf(holes[first]) <= atBytes) first += 1;
    for (let index = first; index < holes.length && atBytes < endBytes; index += 1) {
      const hole = holes[index];
      if (hole === undefined || hole.offsetBytes >= endBytes) break;
      if (hole.offsetBytes > atBytes) left.push({ offsetBytes: atBytes, sizeBytes: hole.offsetBytes - atBytes });
      atBytes = Math.max(atBytes, endOf(hole));
    }
    if (atBytes < endBytes) left.push({ offsetBytes: atBytes, sizeBytes: endBytes - atBytes });
  }
  return left;
}

/** Whether `region` and any of `others` have a byte in common. */
export function overlapsAny(region: Region, others: readonly Region[]): boolean {
  return others.some((other) => region.offsetBytes < endOf(other) && other.offsetBytes < endOf(region));
}

function endOf(region: Region | undefined): number {
  return region === undefined ? 0 : region.offsetBytes + region.sizeBytes;
}
