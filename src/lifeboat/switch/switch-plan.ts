/** What a switch is planned from, and what the plan says. */
import type { Region } from "../../image/regions.ts";

/** Which sector is the switch: the first one, or the primary header of a GPT. */
export type SwitchForm = "mbr" | "gpt";

export interface SwitchPlan {
  readonly form: SwitchForm;
  readonly sectorSizeBytes: number;
  readonly diskSizeBytes: number;
  readonly bootVolume: Region;
  /** Where the sector that is the switch lies: 0 or one sector. */
  readonly sectorOffsetBytes: number;
  /** One logical sector: written back to abort. */
  readonly oldSector: Buffer;
  /** One logical sector: makes the firmware boot the lifeboat. Zero behind its first 512 bytes. */
  readonly lifeboatSector: Buffer;
  /** Form `gpt`: the entry array, whole sectors of it, which must be in the lifeboat before the switch. */
  readonly entries: Buffer | null;
}

export interface SwitchRequest {
  /** The first MiB of the disk as it is. */
  readonly oldHead: Buffer;
  readonly firmware: "bios" | "uefi";
  readonly sectorSizeBytes: number;
  readonly diskSizeBytes: number;
  /** The FAT file system that the firmware or its boot code shall find, as absolute bytes of the disk. */
  readonly bootVolume: Region;
  /** What an MBR calls it where BIOS boots it: 0x0c or 0x0e. */
  readonly fatTypeByte: number;
  /** Where the entries will lie, as an absolute byte of the disk. */
  readonly entriesOffsetBytes: number;
  /** PARTUUID of the ESP that the firmware booted from; null where it is not on this disk. */
  readonly espUuid: string | null;
  /** The boot code of an MBR that boots the active partition, 440 bytes at most. */
  readonly bootCode: Buffer;
  /** Of the lifeboat; the boot volume's PARTUUID where there is no ESP whose it could take. */
  readonly uuid: string;
}
