/**
 * What SYSLINUX's installer does once its files lie on the file system: tells the boot sector where ldlinux.sys is, and
 * ldlinux.sys where its other sectors are (libinstaller/syslxmod.c and syslxint.h of SYSLINUX 6). All sector numbers count
 * from the start of the partition, so the file system boots wherever it lies. Pure.
 */
import { ReimageError } from "../../errors.ts";

const SECTOR_BYTES = 512;
const MAGIC = 0x3eb202fe;
const MAXIMUM_EXTENT_SECTORS = 127;
const EXTENT_BYTES = 10;
/** Two copies of an empty "auxiliary data vector" end the file; nothing here uses it. */
const ADV_SECTORS = 2;

/** Offsets in the patch area, and then in the extended one, whose offset it names. */
const PATCH = { dataSectors: 8, advSectors: 10, dwords: 12, checksum: 16, extended: 22 } as const;
const EXTENDED = { advPointers: 0, extents: 10, extentCount: 12, sector1Low: 14, sector1High: 16 } as const;

/**
 * Both parts of SYSLINUX, fitted to where ldlinux.sys lies in one piece: from `firstSector`, in sectors of 512 bytes from
 * the start of the file system. Throws ReimageError where they are not what SYSLINUX 6 installs.
 */
export function fitSyslinux(
  parts: { readonly bootSector: Buffer; readonly ldlinux: Buffer },
  firstSector: number,
): { readonly bootSector: Buffer; readonly ldlinux: Buffer } {
  const bootSector = Buffer.from(parts.bootSector);
  const ldlinux = Buffer.from(parts.ldlinux);
  const patch = findPatchArea(ldlinux);
  const dataSectors = ldlinux.length / SECTOR_BYTES - ADV_SECTORS;
  const extended = ldlinux.readUInt16LE(patch + PATCH.extended);
  const field = (offset: number) => ldlinux.readUInt16LE(extended + offset);
  bootSector.writeUInt32LE(firstSector, field(EXTENDED.sector1Low));
  bootSector.writeUInt32LE(0, field(EXTENDED.sector1High));
  const words = (dataSectors * SECTOR_BYTES) / 4;
  ldlinux.writeUInt16LE(dataSectors, patch + PATCH.dataSectors);
  ldlinux.writeUInt16LE(ADV_SECTORS, patch + PATCH.advSectors);
  ldlinux.writeUInt32LE(words, patch + PATCH.dwords);
  const extents = contiguousExtents(firstSector + 1, dataSectors - 1);
  const room = field(EXTENDED.extentCount);
  if (extents.length > room) throw new ReimageError("bug", `ldlinux.sys has room for ${room} extents only`);
  const at = field(EXTENDED.extents);
  ldlinux.fill(0, at, at + room * EXTENT_BYTES);
  for (const [index, { sector, count }] of extents.entries()) {
    ldlinux.writeBigUInt64LE(BigInt(sector), at + index * EXTENT_BYTES);
    ldlinux.writeUInt16LE(count, at + index * EXTENT_BYTES + 8);
  }
  for (let copy = 0; copy < ADV_SECTORS; copy += 1) {
    ldlinux.writeBigUInt64LE(BigInt(firstSector + dataSectors + copy), field(EXTENDED.advPointers) + copy * 8);
  }
  ldlinux.writeUInt32LE(0, patch + PATCH.checksum);
  let sum = MAGIC;
  for (let word = 0; word < words; word += 1) sum = (sum - ldlinux.readUInt32LE(word * 4)) >>> 0;
  ldlinux.writeUInt32LE(sum, patch + PATCH.checksum);
  return { bootSector, ldlinux };
}

function findPatchArea(ldlinux: Buffer): number {
  for (let offset = 0; offset < SECTOR_BYTES && offset + 4 <= ldlinux.length; offset += 4) {
    if (ldlinux.readUInt32LE(offset) === MAGIC && ldlinux.length % SECTOR_BYTES === 0) return offset;
  }
  throw new ReimageError("bug", "ldlinux.sys is not that of SYSLINUX 6");
}

/** The BIOS reads less than 64 KiB at once. */
function contiguousExtents(firstSector: number, sectors: number): { sector: number; count: number }[] {
  const extents: { sector: number; count: number }[] = [];
  for (let done = 0; done < sectors; done += MAXIMUM_EXTENT_SECTORS) {
    extents.push({ sector: firstSector + done, count: Math.min(sectors - done, MAXIMUM_EXTENT_SECTORS) });
  }
  return extents;
}
