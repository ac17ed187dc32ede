/** A first sector whose table names one partition and nothing else. Pure. */
import { readEntries } from "../../disk/mbr.ts";
import { ReimageError } from "../../errors.ts";
import type { Region } from "../../image/regions.ts";

/** The type of an EFI system partition in an MBR (UEFI specification, 5.2.2). */
export const efiSystemType = 0xef;

const BOOT_CODE_BYTES = 440;
const IDENTITY_OFFSET = 440;
const TABLE_OFFSET = 446;
const ENTRY_BYTES = 16;
const SECTOR_NUMBERS = 2 ** 32;

export interface SoleEntry {
  readonly sectorSizeBytes: number;
  readonly volume: Region;
  readonly type: number;
  /** Whether the boot code shall boot it. */
  readonly active: boolean;
  /** Which of the four entries, from 0. */
  readonly slot: number;
  readonly bootCode: Buffer;
  /** Bytes 440 to 445: the disk signature, and two more that some systems use. */
  readonly identity: Buffer;
}

/** One logical sector. @throws ReimageError `lifeboat` where an MBR cannot name the volume's place */
export function soleEntrySector(entry: SoleEntry): Buffer {
  const { sectorSizeBytes, volume, bootCode, identity } = entry;
  if (bootCode.length > BOOT_CODE_BYTES) throw new ReimageError("bug", `boot code of ${bootCode.length} bytes`);
  const [start, sectors] = [volume.offsetBytes / sectorSizeBytes, volume.sizeBytes / sectorSizeBytes];
  if (start + sectors > SECTOR_NUMBERS) {
    throw new ReimageError(
      "lifeboat",
      `the lifeboat would lie at byte ${volume.offsetBytes}: an MBR counts only up to ${SECTOR_NUMBERS * sectorSizeBytes}`,
      { hint: "free some space nearer to the start of the disk, or give up safety with --accept-power-cut-risk" },
    );
  }
  const sector = Buffer.alloc(sectorSizeBytes);
  bootCode.copy(sector, 0);
  identity.copy(sector, IDENTITY_OFFSET, 0, TABLE_OFFSET - IDENTITY_OFFSET);
  const at = TABLE_OFFSET + entry.slot * ENTRY_BYTES;
  sector.writeUInt8(entry.active ? 0x80 : 0, at);
  cylinderHeadSector(start).copy(sector, at + 1);
  sector.writeUInt8(entry.type, at + 4);
  cylinderHeadSector(start + sectors - 1).copy(sector, at + 5);
  sector.writeUInt32LE(start, at + 8);
  sector.writeUInt32LE(sectors, at + 12);
  sector.writeUInt16BE(0x55aa, 510);
  return sector;
}

/**
 * A first sector for UEFI with one entry, the boot volume. It is no protective MBR, so a GPT behind it no longer counts: the
 * switch is of form `mbr` from then on.
 */
export function mbrFormSector(request: { readonly volume: Region; readonly sectorSizeBytes: number }): Buffer {
  return soleEntrySector({
    ...request,
    type: efiSystemType,
    active: false,
    slot: 0,
    bootCode: Buffer.alloc(0),
    identity: Buffer.alloc(0),
  });
}

/** Whether a first sector names `volume` and nothing else. */
export function namesOnly(sector: Buffer, volume: Region, sectorSizeBytes: number): boolean {
  if (sector.readUInt16BE(510) !== 0x55aa) return false;
  const [only, ...others] = readEntries(sector).filter((entry) => entry.type !== 0 || entry.sectors !== 0);
  if (only === undefined || others.length > 0) return false;
  return (
    only.startSector * sectorSizeBytes === volume.offsetBytes && only.sectors * sectorSizeBytes === volume.sizeBytes
  );
}

/**
 * A boot loader was installed while the sector was the lifeboat's: its code with the old table, so that neither is lost. Null
 * where the table is not the lifeboat's any more: then somebody has meant what is there.
 */
export function withOldTable(
  sector: Buffer,
  oldSector: Buffer,
  { bootVolume, sectorSizeBytes }: { readonly bootVolume: Region; readonly sectorSizeBytes: number },
): Buffer | null {
  if (!namesOnly(sector, bootVolume, sectorSizeBytes)) return null;
  return Buffer.concat([sector.subarray(0, BOOT_CODE_BYTES), oldSector.subarray(BOOT_CODE_BYTES)]);
}

/** The geometry that everybody pretends, 255 heads and 63 sectors; some BIOSes look at it. Beyond it: the highest values. */
function cylinderHeadSector(lba: number): Buffer {
  const [heads, sectors] = [255, 63];
  const cylinder = Math.floor(lba / (heads * sectors));
  if (cylinder > 1023) return Buffer.from([0xfe, 0xff, 0xff]);
  const head = Math.floor(lba / sectors) % heads;
  return Buffer.from([head, ((cylinder >> 2) & 0xc0) | ((lba % sectors) + 1), cylinder & 0xff]);
}
