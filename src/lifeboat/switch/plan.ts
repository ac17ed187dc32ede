/**
 * The one sector that makes the firmware boot the lifeboat instead of the old OS, and the one that makes it boot the old
 * OS again. docs/lifeboat.md has the argument. Pure.
 */
import { isProtectedByMbr, readEntries } from "../../disk/mbr.ts";
import { type PartitionTable, parsePartitionTable } from "../../disk/partition-table.ts";
import { ReimageError } from "../../errors.ts";
import { efiSystemType, soleEntrySector } from "./mbr-sector.ts";
import type { SwitchPlan, SwitchRequest } from "./switch-plan.ts";
import { transitionalTable } from "./transitional-table.ts";

export { mbrFormSector } from "./mbr-sector.ts";
export { lifeboatBackupTable } from "./transitional-table.ts";
export type { Write } from "./write.ts";

/** @throws ReimageError `lifeboat` where this firmware cannot be made to boot a lifeboat from this disk by one sector */
export function planSwitch(request: SwitchRequest): SwitchPlan {
  const { oldHead, firmware, sectorSizeBytes, diskSizeBytes, bootVolume } = request;
  if (firmware === "bios" && sectorSizeBytes !== 512) {
    throw refusal(`a BIOS cannot boot from a disk with sectors of ${sectorSizeBytes} bytes`);
  }
  if (bootVolume.offsetBytes % sectorSizeBytes !== 0 || bootVolume.sizeBytes % sectorSizeBytes !== 0) {
    throw new ReimageError("bug", `the boot volume at byte ${bootVolume.offsetBytes} is not made of whole sectors`);
  }
  const table = readOldTable(oldHead, sectorSizeBytes);
  const common = { sectorSizeBytes, diskSizeBytes, bootVolume };
  if (firmware === "uefi" && table.type === "gpt") {
    if (readEntries(oldHead).filter((entry) => entry.type !== 0).length > 1) {
      throw refusal("the disk has a hybrid MBR: firmware may look at it instead of the GPT");
    }
    const { header, entries } = transitionalTable(request, table);
    const oldSector = Buffer.from(oldHead.subarray(sectorSizeBytes, 2 * sectorSizeBytes));
    return { ...common, form: "gpt", sectorOffsetBytes: sectorSizeBytes, oldSector, lifeboatSector: header, entries };
  }
  const lifeboatSector = soleEntrySector({
    sectorSizeBytes,
    volume: bootVolume,
    // The disk signature, by which old boot entries and the old kernel's root=PARTUUID know the disk.
    identity: oldHead.subarray(440, 446),
    ...(firmware === "bios"
      ? { type: request.fatTypeByte, active: true, slot: 0, bootCode: request.bootCode }
      : { type: efiSystemType, active: false, slot: oldEspSlot(table, request.espUuid), bootCode: Buffer.alloc(0) }),
  });
  const oldSector = Buffer.from(oldHead.subarray(0, sectorSizeBytes));
  return { ...common, form: "mbr", sectorOffsetBytes: 0, oldSector, lifeboatSector, entries: null };
}

/** The old table has to be whole: what is switched away from must be what is switched back to. */
function readOldTable(oldHead: Buffer, sectorSizeBytes: number): PartitionTable {
  const read = (offset: number, length: number): Buffer | null =>
    offset + length <= oldHead.length ? oldHead.subarray(offset, offset + length) : null;
  const parsed = parsePartitionTable(read, sectorSizeBytes);
  if (parsed.kind === "table") return parsed.table;
  if (parsed.kind === "none") throw refusal(`the partition table of the old system cannot be used: ${parsed.reason}`);
  if (isProtectedByMbr(oldHead)) throw refusal(`the entries of its GPT lie behind the first ${oldHead.length} bytes`);
  // A logical partition behind the first MiB. For the switch the primary ones suffice.
  return withoutLogical(oldHead, sectorSizeBytes);
}

function withoutLogical(oldHead: Buffer, sectorSizeBytes: number): PartitionTable {
  const zeros = (offset: number, length: number): Buffer =>
    offset === 0 ? oldHead.subarray(0, length) : Buffer.alloc(length);
  const parsed = parsePartitionTable(zeros, sectorSizeBytes);
  if (parsed.kind === "table") return parsed.table;
  throw refusal("the partition table of the old system cannot be used");
}

/**
 * Firmware may know the old ESP by its number too, so the boot volume takes its place.
 * @throws ReimageError `lifeboat` where the firmware starts a loader of another disk: that would look for the old OS here
 */
function oldEspSlot(table: PartitionTable, espUuid: string | null): number {
  const primary = table.partitions.filter((partition) => partition.number <= 4);
  const bootedFrom = primary.find((partition) => partition.uuid === espUuid?.toLowerCase());
  if (espUuid !== null && bootedFrom === undefined)
    throw refusal(`the firmware booted from the partition ${espUuid}, which this disk does not have`);
  const esp = bootedFrom ?? primary.find((partition) => partition.type === efiSystemType.toString(16));
  return (esp?.number ?? 1) - 1;
}

function refusal(reason: string): ReimageError {
  return new ReimageError("lifeboat", `a lifeboat cannot be switched to: ${reason}`, {
    hint: "--accept-power-cut-risk does without one: a power cut while the disk is written then loses this machine",
  });
}
