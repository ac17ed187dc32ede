/** Disks with a GPT of 512 or 4096 byte sectors: Debian's sfdisk takes the sector size from a block device only. */
import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { ENTRY_BYTES, HEADER, writeGuid } from "../../../src/disk/gpt.ts";
import { relocateGpt } from "../../../src/disk/gpt-relocate.ts";
import { gptHead, signHeader } from "../../../test/unit/disk/make-tables.ts";
import { shell } from "../../kiosk/cache.ts";
import type { DiskPlan } from "../../kiosk/disk-image.ts";

const MiB = 1 << 20;
const typeGuids: Readonly<Record<string, string>> = {
  uefi: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  linux: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  swap: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
};

/** Writes the disk to `file`, with both copies of its table. */
export async function assembleGptDisk(file: string, plan: DiskPlan, sector: 512 | 4096): Promise<void> {
  writeFileSync(file, "");
  truncateSync(file, plan.sizeMiB * MiB);
  const sectors = (mib: number): number => (mib * MiB) / sector;
  const head = gptHead(
    plan.partitions.map(({ number, startMiB, sizeMiB }) => ({
      ...{ slot: number, firstLba: sectors(startMiB), lastLba: sectors(startMiB + sizeMiB) - 1 },
    })),
    { sector, diskSectors: sectors(plan.sizeMiB) },
  );
  const entriesOffset = 2 * sector;
  const entriesBytes = 128 * ENTRY_BYTES;
  for (const { number, type } of plan.partitions) {
    const guid = typeGuids[type];
    if (guid === undefined) throw new Error(`no GPT type is known for ${type}`);
    writeGuid(head, entriesOffset + (number - 1) * ENTRY_BYTES, guid);
  }
  const entries = head.subarray(entriesOffset, entriesOffset + entriesBytes);
  head.writeUInt32LE(crc32(entries), sector + HEADER.entriesCrc);
  signHeader(head, sector);
  const { head: placed, backup, backupOffsetBytes } = relocateGpt(head, sector, plan.sizeMiB * MiB);
  const fd = openSync(file, "r+");
  try {
    writeSync(fd, placed, 0, placed.length, 0);
    writeSync(fd, backup, 0, backup.length, backupOffsetBytes);
  } finally {
    closeSync(fd);
  }
  for (const { contents, startMiB } of plan.partitions)
    if (contents !== null)
      await shell`dd if=${contents} of=${file} bs=1M seek=${startMiB} conv=notrunc,sparse status=none`;
}
