/**
 * How a FAT file system is divided, by Microsoft's specification (fatgen103, of 2000). What decides between FAT16 and FAT32 is
 * the number of clusters alone, so with 4096-byte sectors a small file system cannot be FAT32. Pure.
 */
import { ReimageError } from "../../errors.ts";

export type FatType = "FAT16" | "FAT32";

export interface FatGeometry {
  readonly type: FatType;
  readonly sectorSizeBytes: number;
  readonly clusterSizeBytes: number;
  readonly clusterCount: number;
  readonly reservedSectors: number;
  readonly sectorsPerFat: number;
  /** Of the directory that FAT16 has before the first cluster; 0 with FAT32. */
  readonly rootEntryCount: number;
  /** Where the first cluster lies, number 2. */
  readonly dataOffsetBytes: number;
  readonly sizeBytes: number;
}

const MIB = 1 << 20;
// Some programs draw the lines between the types a little off: no file system is near them.
const MARGIN = 16;
const clusterLimits = {
  FAT16: { fewest: 4085 + MARGIN, most: 65_524 - MARGIN },
  FAT32: { fewest: 65_525 + MARGIN, most: 1 << 22 },
} as const;
const ROOT_ENTRIES = 512;
const MAXIMUM_CLUSTER_BYTES = 32 << 10;
const ALIGNMENT_BYTES = 4096; // of the data: blocks of most disks, whatever they call a sector

/** What FAT32's larger tables may cost: UEFI promises to read FAT16 from removable media only. */
const FAT32_EXTRA = 1 / 32;

/**
 * A small file system, in whole MiB, for what takes `clustersNeeded(clusterSizeBytes)` clusters: FAT32 where that can be had
 * for hardly more room, else FAT16; with the largest clusters that fit. Throws ReimageError where neither is large enough.
 */
export function chooseGeometry(
  sectorSizeBytes: 512 | 4096,
  clustersNeeded: (clusterSizeBytes: number, type: FatType) => number,
): FatGeometry {
  const [fat32, fat16] = (["FAT32", "FAT16"] as const).map((type) =>
    smallest(type, sectorSizeBytes, (clusterBytes) => clustersNeeded(clusterBytes, type)),
  );
  if (fat32 && fat32.sizeBytes <= (fat16?.sizeBytes ?? Number.POSITIVE_INFINITY) * (1 + FAT32_EXTRA)) return fat32;
  if (fat16) return fat16;
  throw new ReimageError("lifeboat", "kernel and initramfs are too large for the FAT file system that is booted");
}

function smallest(
  type: FatType,
  sectorSizeBytes: number,
  clustersNeeded: (clusterSizeBytes: number) => number,
): FatGeometry | null {
  const { fewest, most } = clusterLimits[type];
  const leastMiB = Math.ceil((Math.max(clustersNeeded(sectorSizeBytes), fewest) * sectorSizeBytes) / MIB);
  // The tables and what the last clusters of the files leave empty take less than that.
  for (let sizeMiB = leastMiB; sizeMiB <= 1.25 * leastMiB + 2; sizeMiB += 1) {
    for (let clusterBytes = MAXIMUM_CLUSTER_BYTES; clusterBytes >= sectorSizeBytes; clusterBytes /= 2) {
      const geometry = divide(type, sectorSizeBytes, clusterBytes, sizeMiB * MIB);
      const isOfType = geometry.clusterCount >= fewest && geometry.clusterCount <= most;
      if (isOfType && geometry.clusterCount >= clustersNeeded(clusterBytes)) return geometry;
    }
  }
  return null;
}

function divide(type: FatType, sectorSizeBytes: number, clusterSizeBytes: number, sizeBytes: number): FatGeometry {
  const isFat32 = type === "FAT32";
  const sectorsPerFat = Math.ceil(((sizeBytes / clusterSizeBytes + 2) * (isFat32 ? 4 : 2)) / sectorSizeBytes);
  const rootEntryCount = isFat32 ? 0 : ROOT_ENTRIES;
  const afterReserved = 2 * sectorsPerFat * sectorSizeBytes + rootEntryCount * 32;
  // FAT32: the boot sector, FSInfo, their copies from sector 6. Then as many as put the first cluster at its alignment.
  const leastReservedBytes = (isFat32 ? 9 : 1) * sectorSizeBytes;
  const alignment = Math.max(ALIGNMENT_BYTES, clusterSizeBytes);
  const dataOffsetBytes = Math.ceil((leastReservedBytes + afterReserved) / alignment) * alignment;
  return {
    type,
    sectorSizeBytes,
    clusterSizeBytes,
    clusterCount: Math.max(0, Math.floor((sizeBytes - dataOffsetBytes) / clusterSizeBytes)),
    reservedSectors: (dataOffsetBytes - afterReserved) / sectorSizeBytes,
    sectorsPerFat,
    rootEntryCount,
    dataOffsetBytes,
    sizeBytes,
  };
}
