/** A small disk in memory with an old system, room for a lifeboat, and what a new image would put at its ends. */
import { relocateGpt } from "../../../src/disk/partition-table.ts";
import { planSwitch, type Write } from "../../../src/lifeboat/switch/plan.ts";
import type { SwitchPlan, SwitchRequest } from "../../../src/lifeboat/switch/switch-plan.ts";
import { gptHead, mbrSector, signHeader } from "../disk/make-tables.ts";

export const MiB = 1 << 20;
export const diskSizeBytes = 8 * MiB;
/** 6 to 7 MiB. */
export const bootVolume = { offsetBytes: 6 * MiB, sizeBytes: MiB };
export const entriesOffsetBytes = 4 * MiB + 64 * 1024;
export const bootCode = Buffer.alloc(440, 0x90);
export const lifeboatUuid = "01234567-89ab-cdef-0123-456789abcdef";
/** As make-tables.ts numbers them, from the slot. */
export const uuidOf = (slot: number): string =>
  `00000000-0000-0000-0000-0000000000${slot.toString(16).padStart(2, "0")}`;

/** The head of a disk with two partitions, the first at 1 MiB, of `sizeMiB`. */
export function headOf(table: "mbr" | "gpt", sector: 512 | 4096, sizeMiB = 1): Buffer {
  const perMiB = MiB / sector;
  if (table === "gpt") {
    const partitions = [
      { slot: 2, firstLba: perMiB, lastLba: (1 + sizeMiB) * perMiB - 1, name: "esp" },
      { slot: 5, firstLba: 3 * perMiB, lastLba: 4 * perMiB - 1, name: "root" },
    ];
    return gptHead(partitions, { sector, diskSectors: diskSizeBytes / sector });
  }
  const head = Buffer.alloc(MiB);
  const first = { type: 0xef, start: perMiB, sectors: sizeMiB * perMiB };
  mbrSector([null, first, { type: 0x83, start: 3 * perMiB, sectors: perMiB, boot: 0x80 }]).copy(head);
  head.fill(0xcc, 512, 2048);
  return head;
}

/** A request, by BIOS for an MBR and by UEFI for a GPT unless told otherwise. */
export function requestOf(
  table: "mbr" | "gpt",
  sector: 512 | 4096,
  change: Partial<SwitchRequest> = {},
): SwitchRequest {
  return {
    oldHead: headOf(table, sector),
    firmware: table === "gpt" ? "uefi" : "bios",
    sectorSizeBytes: sector,
    ...{ diskSizeBytes, bootVolume, entriesOffsetBytes, bootCode, fatTypeByte: 0x0c, uuid: lifeboatUuid },
    espUuid: table === "gpt" ? uuidOf(2) : null,
    ...change,
  };
}

export interface SwitchDisk {
  readonly disk: Buffer;
  readonly plan: SwitchPlan;
}

/** A whole disk with the old system, its backup table too, and the entries of the plan in the lifeboat. */
export function oldDisk(request: SwitchRequest): SwitchDisk {
  const disk = Buffer.alloc(diskSizeBytes, 0x11);
  const plan = planSwitch(request);
  request.oldHead.copy(disk);
  if (request.oldHead.subarray(request.sectorSizeBytes).toString("latin1", 0, 8) === "EFI PART") {
    apply(disk, backupOf(request.oldHead, request.sectorSizeBytes));
  }
  if (plan.entries !== null) apply(disk, { offsetBytes: request.entriesOffsetBytes, data: plan.entries });
  return { disk, plan };
}

/** What a new image has: another table, with its partition of 2 MiB at 1 MiB. */
export function newHead(
  table: "mbr" | "gpt",
  sector: 512 | 4096,
): { readonly head: Buffer; readonly backup: Write | null } {
  const head = headOf(table, sector, 2);
  head.write("new", 300);
  if (table === "mbr") return { head, backup: null };
  head.fill(0x77, sector + 56, sector + 72); // the disk GUID
  signHeader(head, sector);
  const moved = relocateGpt(head, sector, diskSizeBytes);
  return { head: moved.head, backup: { offsetBytes: moved.backupOffsetBytes, data: moved.backup } };
}

export function backupOf(head: Buffer, sector: number): Write {
  const moved = relocateGpt(head, sector, diskSizeBytes);
  return { offsetBytes: moved.backupOffsetBytes, data: moved.backup };
}

export function apply(disk: Buffer, { data, offsetBytes }: Write): void {
  data.copy(disk, offsetBytes);
}
