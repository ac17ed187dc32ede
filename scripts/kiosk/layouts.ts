/** How the kiosks' disks are divided, old and new, in MiB. Data; make-kiosk.ts builds from it. */

export type Table = "mbr" | "gpt";
export type Size = "debian" | "tiny";

/** A partition of a layout: `holds` names its file system, or what else it is. */
export interface PartitionLayout {
  readonly number: number;
  readonly startMiB: number;
  readonly sizeMiB: number;
  readonly holds: "boot" | "root" | "data" | "kiosk" | "esp" | "extended";
}

export interface DiskLayout {
  readonly sizeMiB: number;
  readonly partitions: readonly PartitionLayout[];
}

/** Lays partitions one after the other; inside an extended partition each one follows a MiB for its boot record. */
function layOut(sizeMiB: number, sizes: readonly (readonly [number, PartitionLayout["holds"], number])[]): DiskLayout {
  let next = 1;
  const partitions: PartitionLayout[] = [];
  for (const [number, holds, partitionMiB] of sizes) {
    if (holds === "extended") {
      partitions.push({ number, startMiB: next, sizeMiB: sizeMiB - next, holds });
      continue;
    }
    if (number > 4 && partitions.some((p) => p.holds === "extended")) next += 1;
    partitions.push({ number, startMiB: next, sizeMiB: partitionMiB, holds });
    next += partitionMiB;
  }
  return { sizeMiB, partitions };
}

/** `old` is the kiosk's disk, larger than `new`, the image (small: an emulated CPU decodes it). The MBR layout is that of the kiosks this comes from. */
export const layouts: Readonly<Record<`${Size}-${Table}`, { readonly old: DiskLayout; readonly new: DiskLayout }>> = {
  "debian-mbr": {
    old: layOut(1024, [
      [1, "boot", 160],
      [2, "root", 320],
      [4, "extended", 0],
      [5, "data", 384],
      [6, "kiosk", 96],
    ]),
    new: layOut(272, [
      [1, "boot", 24],
      [2, "root", 208],
      [4, "extended", 0],
      [5, "data", 16],
      [6, "kiosk", 16],
    ]),
  },
  "debian-gpt": {
    old: layOut(1024, [
      [1, "esp", 48],
      [2, "root", 800],
      [3, "kiosk", 96],
    ]),
    new: layOut(264, [
      [1, "esp", 16],
      [2, "root", 224],
      [3, "kiosk", 16],
    ]),
  },
  "tiny-mbr": {
    old: layOut(128, [
      [1, "root", 40],
      [2, "data", 64],
    ]),
    new: layOut(48, [
      [1, "root", 32],
      [2, "data", 8],
    ]),
  },
  "tiny-gpt": {
    old: layOut(128, [
      [1, "esp", 4],
      [2, "root", 96],
    ]),
    new: layOut(48, [
      [1, "esp", 4],
      [2, "root", 36],
    ]),
  },
};
