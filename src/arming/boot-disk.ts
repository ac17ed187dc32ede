/** Whether the firmware boots the target disk, now and as the new OS's: what can be told of it from the running old OS. */
import type { Disk } from "../disk/disk.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";
import { namableEsps } from "../stages/boot-entry.ts";
import { readHead } from "./fill.ts";

/** Of a first sector; the disk signature and the partition table follow. */
const bootCodeBytes = 440;

/** Whether a BIOS would start a disk that begins like this (pure). */
export function hasBootCode(head: Buffer): boolean {
  return head.readUInt16LE(510) === 0xaa55 && head.subarray(0, bootCodeBytes).some((byte) => byte !== 0);
}

/** Without boot code a BIOS has started the old OS from another disk, and would look for the old partitions here. */
export function requireBootCode({ path }: Disk, head: Buffer): void {
  if (hasBootCode(head)) return;
  throw new ReimageError("lifeboat", `${path} has no boot code: the BIOS starts this machine from another disk`, {
    hint: "name that disk as the target, or use --accept-power-cut-risk, which leaves the boot sectors alone",
  });
}

/**
 * What the operator has to look at himself, a sentence each.
 * @param table of the new image. @param disks of the machine
 */
export async function findBootDoubts(
  firmware: "bios" | "uefi",
  target: Disk,
  table: PartitionTable,
  disks: readonly Disk[],
): Promise<string[]> {
  if (firmware === "uefi") {
    if (namableEsps(table).length > 0) return [];
    return ["this machine boots by UEFI, and the image has no EFI system partition: make sure that it boots the image"];
  }
  const others: string[] = [];
  for (const disk of disks) {
    if (disk.deviceNumber === target.deviceNumber || disk.transport === "loop") continue;
    const head = await readHead(disk).catch(() => null); // what cannot be read boots nothing
    if (head !== null && hasBootCode(head)) others.push(disk.path);
  }
  if (others.length === 0) return [];
  return [
    `the BIOS could start this machine from ${others.join(", ")} too: where it does not start from ${target.path}, the next start brings neither the lifeboat nor the new system`,
  ];
}
