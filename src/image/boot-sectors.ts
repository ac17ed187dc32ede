/**
 * How a disk is kept from booting half a system while it is written, and how it is made to boot the new one. Without a
 * lifeboat it does not boot at all in between; with one it boots that (src/lifeboat/boot-sectors.ts).
 */
import type { BlockDevice } from "../disk/block-device.ts";
import { relocateGpt } from "../disk/gpt-relocate.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { clearBootSectors, clearPartitionTable, commitHead, writeBackupTable } from "./commit.ts";
import type { Region } from "./regions.ts";

export interface BootSectors {
  /** What of the disk must not be touched by the image. */
  readonly keep: readonly Region[];
  /** Before the first byte of the body: from here on the old OS does not boot. Flushed on return. */
  beginWriting(device: BlockDevice, table: PartitionTable): Promise<void>;
  /** Before the new OS is mounted: the image may have brought a backup table, or an interrupted commit left a table. */
  beginRestoring(device: BlockDevice, table: PartitionTable): Promise<void>;
  /** Writes the first MiB, its one sector that counts last. From here on the new OS boots. @throws ReimageError `readback`, `device-io` */
  commit(device: BlockDevice, head: Buffer, table: PartitionTable): Promise<void>;
}

/** The disk boots nothing from the first write to the commit. */
export const plainBootSectors: BootSectors = {
  keep: [],
  beginWriting: clearBootSectors,
  beginRestoring: (device, table) => clearPartitionTable(device, table.lastUsedByteEnd),
  async commit(device, head, table) {
    const moved = table.type === "gpt" ? relocateGpt(head, table.sectorSizeBytes, device.sizeBytes) : null;
    if (moved !== null) await writeBackupTable(device, moved.backup, moved.backupOffsetBytes);
    await commitHead(device, moved?.head ?? head);
  },
};
