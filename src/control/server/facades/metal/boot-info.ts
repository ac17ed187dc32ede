/** What is known of the OS of a machine (pure). */
import { bootInfoSchema, type WireBootInfo } from "../../../protocol/machine.ts";
import type { MachineRow } from "../../database/tables.ts";
import { parseStoredBootInfo } from "../../operations/open-reinstall.ts";
import type { Installed } from "./bodies.ts";

/** What the machine has said of itself, or else the image that an operator has declared; null: nothing is known. */
export function knownBootInfo(row: Pick<MachineRow, "boot_info" | "image_id">): WireBootInfo | null {
  const told = parseStoredBootInfo(row.boot_info);
  return told ?? (row.image_id === null ? null : bootInfoSchema.parse({ image_id: row.image_id }));
}

/** What a report says of the OS that it has installed. */
export function bootInfoAfter(imageId: string, installed: Installed): WireBootInfo {
  const { primarydisk, ospartition, initrd, cmdline, kernel, bootloaderid } = installed;
  return {
    image_id: imageId,
    primary_disk: primarydisk,
    os_partition: ospartition,
    initrd,
    cmdline,
    kernel,
    bootloaderid,
  };
}
