/** The sectors before the tables of a FAT file system. Offsets: fatgen103, "Boot Sector and BPB", "FSInfo". Pure. */
import type { FatGeometry } from "./fat-geometry.ts";

/** Where the code of a boot sector begins that suits FAT16 and FAT32 (SYSLINUX's does), and what leads there. */
export const BOOT_CODE_OFFSET = 90;
const FSINFO_SECTOR = 1;
const BACKUP_SECTOR = 6;
const FIXED_DISK = 0xf8;

/** `jmp 90; nop`, and who made it. */
const noBootHead = Buffer.from("\xeb\x58\x90REIMAGE ", "latin1");
/** `int 18h`: on to the next thing to boot; and if that comes back, `hlt`. */
const noBootCode = Buffer.from([0xcd, 0x18, 0xf4, 0xeb, 0xfd]);

export interface VolumeName {
  /** At most eleven capitals. */
  readonly label: string;
  /** 32 bits. */
  readonly volumeId: number;
}

/** The reserved sectors: the boot sector and, for FAT32, FSInfo and the copies of both. They boot nothing yet. */
export function reservedSectors(
  geometry: FatGeometry,
  name: VolumeName,
  freeClusters: number,
  nextFree: number,
): Buffer {
  const { sectorSizeBytes } = geometry;
  const sectors = Buffer.alloc(geometry.reservedSectors * sectorSizeBytes);
  bootSector(geometry, name).copy(sectors);
  if (geometry.type === "FAT32") {
    fsInfo(freeClusters, nextFree).copy(sectors, FSINFO_SECTOR * sectorSizeBytes);
    sectors.copyWithin(BACKUP_SECTOR * sectorSizeBytes, 0, 2 * sectorSizeBytes);
  }
  return sectors;
}

/** Replaces the boot code in reserved sectors, and in their copy, by that of another boot sector of 512 bytes. */
export function installBootCode(sectors: Buffer, geometry: FatGeometry, from: Buffer): void {
  const copies = geometry.type === "FAT32" ? [0, BACKUP_SECTOR * geometry.sectorSizeBytes] : [0];
  for (const offset of copies) {
    from.copy(sectors, offset, 0, noBootHead.length);
    from.copy(sectors, offset + BOOT_CODE_OFFSET, BOOT_CODE_OFFSET, 512);
  }
}

function bootSector(geometry: FatGeometry, { label, volumeId }: VolumeName): Buffer {
  const sector = Buffer.alloc(geometry.sectorSizeBytes);
  const sectorCount = geometry.sizeBytes / geometry.sectorSizeBytes;
  const isFat32 = geometry.type === "FAT32";
  const isSmall = !isFat32 && sectorCount < 0x10000;
  noBootHead.copy(sector);
  sector.writeUInt16LE(geometry.sectorSizeBytes, 11);
  sector.writeUInt8(geometry.clusterSizeBytes / geometry.sectorSizeBytes, 13);
  sector.writeUInt16LE(geometry.reservedSectors, 14);
  sector.writeUInt8(2, 16); // tables
  sector.writeUInt16LE(geometry.rootEntryCount, 17);
  sector.writeUInt16LE(isSmall ? sectorCount : 0, 19);
  sector.writeUInt8(FIXED_DISK, 21);
  sector.writeUInt16LE(isFat32 ? 0 : geometry.sectorsPerFat, 22);
  sector.writeUInt16LE(63, 24); // sectors of a track, and heads: what every BIOS says of a large disk
  sector.writeUInt16LE(255, 26);
  sector.writeUInt32LE(0, 28); // hidden sectors: mbr.bin tells where the partition is, and firmware with UEFI knows
  sector.writeUInt32LE(isSmall ? 0 : sectorCount, 32);
  if (isFat32) {
    sector.writeUInt32LE(geometry.sectorsPerFat, 36);
    sector.writeUInt32LE(2, 44); // the cluster of the root directory
    sector.writeUInt16LE(FSINFO_SECTOR, 48);
    sector.writeUInt16LE(BACKUP_SECTOR, 50);
  }
  const extended = isFat32 ? 64 : 36;
  sector.writeUInt8(0x80, extended); // drive
  sector.writeUInt8(0x29, extended + 2);
  sector.writeUInt32LE(volumeId, extended + 3);
  sector.write(label.padEnd(11), extended + 7, "latin1");
  sector.write(geometry.type.padEnd(8), extended + 18, "latin1");
  noBootCode.copy(sector, BOOT_CODE_OFFSET);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

function fsInfo(freeClusters: number, nextFree: number): Buffer {
  const sector = Buffer.alloc(512);
  sector.write("RRaA", 0, "latin1");
  sector.write("rrAa", 484, "latin1");
  sector.writeUInt32LE(freeClusters, 488);
  sector.writeUInt32LE(nextFree, 492);
  sector.writeUInt32LE(0xaa550000, 508);
  return sector;
}
