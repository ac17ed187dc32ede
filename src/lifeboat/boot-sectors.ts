/** A disk that boots its lifeboat from the moment it is armed until the commit; see docs/lifeboat.md for the order of writes. */
import type { BlockDevice } from "../disk/block-device.ts";
import { relocateGpt } from "../disk/gpt-relocate.ts";
import { ReimageError } from "../errors.ts";
import type { BootSectors } from "../image/boot-sectors.ts";
import { writeBackupTable } from "../image/commit.ts";
import { alignedBuffer } from "../system/libc.ts";
import { type LifeboatHeader, lifeboatRegions, switchPlanOf } from "./header.ts";
import { planCommit, planWriting, type Write } from "./switch/commit.ts";
import { lifeboatBackupTable } from "./switch/plan.ts";

export function lifeboatBootSectors(header: LifeboatHeader): BootSectors {
  const plan = switchPlanOf(header);
  return {
    keep: lifeboatRegions(header),
    async beginWriting(device, table) {
      for (const write of planWriting(plan, table.type).writes) await writeProven(device, write);
    },
    async beginRestoring(device, table) {
      // The image may reach to the end of the disk, and bring a backup table of its own.
      const backup = table.type === "gpt" ? lifeboatBackupTable(plan) : null;
      if (backup !== null) await writeProven(device, backup);
    },
    async commit(device, head, table) {
      const moved = table.type === "gpt" ? relocateGpt(head, table.sectorSizeBytes, device.sizeBytes) : null;
      if (moved !== null) await writeBackupTable(device, moved.backup, moved.backupOffsetBytes);
      const form = table.type === "mbr" ? "mbr" : plan.form; // beginWriting has seen to it
      const { sectorSizeBytes } = plan;
      const { before, commit } = planCommit({ head: moved?.head ?? head, form, sectorSizeBytes });
      for (const write of before) await writeProven(device, write);
      await writeProven(device, commit);
    },
  };
}

/** Writes whole sectors, flushes, and reads back past the page cache. @throws ReimageError `readback` or `device-io` */
export async function writeProven(device: BlockDevice, { offsetBytes, data }: Write): Promise<void> {
  const aligned = alignedBuffer(data.length);
  aligned.set(data);
  await device.writeDirectAt(aligned, offsetBytes);
  await device.sync();
  const found = alignedBuffer(data.length);
  await device.readDirectAt(found, offsetBytes);
  if (found.equals(aligned)) return;
  throw new ReimageError("readback", `${device.path} does not hold the boot sectors that were written to it`, {
    hint: "the disk or its cable is faulty; replace it, do not use this disk",
  });
}
