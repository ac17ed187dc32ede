/** What arming says of disks that the firmware might boot instead, and of images that it might not boot. */
import { expect, test } from "bun:test";
import { findBootDoubts, hasBootCode } from "../../src/arming/boot-disk.ts";
import type { PartitionTable } from "../../src/disk/partition-table.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { createOldDisk } from "../support/old-disk.ts";

const table = (type: string): PartitionTable => ({
  ...{ type: "gpt", sectorSizeBytes: 512, diskId: "d", lastUsedByteEnd: 2 << 20 },
  partitions: [{ number: 1, startBytes: 1 << 20, sizeBytes: 1 << 20, kind: "gpt", type, uuid: "u", name: null }],
});
const esp = table("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const linux = table("0fc63daf-8483-4772-8e79-3d69d8477de4");

test("another disk with boot code is named, where a BIOS boots; one without is not", async () => {
  await using target = await createOldDisk(4, "label: dos\nstart=1MiB, size=1MiB\n");
  await using other = await createOldDisk(4, "label: dos\nstart=1MiB, size=1MiB\n");
  const disks = [await target.read(), await other.read()].map((disk) => ({ ...disk, transport: "ata" }) as const);
  const [own] = disks as [(typeof disks)[0]];
  expect(await findBootDoubts("bios", own, linux, disks)).toEqual([]);
  for (const { path } of [target, other]) {
    await runTestCommand(["dd", `of=${path}`, "bs=440", "count=1", "conv=notrunc,fsync", "status=none"], {
      stdin: noise("boot code", 440),
    });
  }
  const [doubt, ...more] = await findBootDoubts("bios", own, linux, disks);
  expect(more).toEqual([]);
  expect(doubt).toStartWith(`the BIOS could start this machine from ${other.path} too`);
  expect(await findBootDoubts("uefi", own, esp, disks)).toEqual([]);
});

test("an image without an EFI system partition is doubted, where UEFI boots", async () => {
  await using disk = await createOldDisk(4, "label: gpt\nstart=1MiB, size=1MiB\n");
  const target = await disk.read();
  expect(await findBootDoubts("uefi", target, esp, [])).toEqual([]);
  expect(await findBootDoubts("uefi", target, linux, [])).toEqual([
    expect.stringContaining("the image has no EFI system partition"),
  ]);
  expect(await findBootDoubts("bios", target, linux, [])).toEqual([]);
});

test("boot code is what stands before the partition table, in a sector that is signed", () => {
  const sector = Buffer.alloc(512);
  expect(hasBootCode(sector)).toBe(false);
  sector.writeUInt8(0xeb, 0);
  expect(hasBootCode(sector)).toBe(false);
  sector.writeUInt16LE(0xaa55, 510);
  expect(hasBootCode(sector)).toBe(true);
  sector.writeUInt8(0, 0);
  sector.writeUInt8(0x80, 446);
  expect(hasBootCode(sector)).toBe(false);
});
