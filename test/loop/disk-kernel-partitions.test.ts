/** The kernel's view of partitions, on real loop devices. */
import { expect, test } from "bun:test";
import { open, stat } from "node:fs/promises";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import {
  addPartitions,
  forgetPartitions,
  partitionPath,
  rereadPartitions,
  verifyPartitions,
} from "../../src/disk/kernel-partitions.ts";
import { mountReadWrite } from "../../src/disk/mounts.ts";
import { type PartitionTable, parsePartitionTable } from "../../src/disk/partition-table.ts";
import { setReadOnly } from "../../src/disk/read-only.ts";
import { blockDeviceName, readKernelPartitions } from "../../src/disk/sysfs.ts";
import { createLoopDevice, makeFileSystem, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { diskOf, mbrSector } from "../unit/disk/make-tables.ts";

const MIB = 1024 * 1024;
const script = (...lines: string[]) => ({ stdin: Buffer.from(lines.join("\n")) });
const kiosk = (sector: number) => {
  const size = (mebibytes: number) => `size=${(mebibytes * MIB) / sector}`;
  return script("label: dos", `${size(32)}, type=83`, `${size(64)}, type=83`, "type=5", `${size(48)}`, `${size(48)}`);
};

async function readTable(path: string, sectorSizeBytes: number): Promise<PartitionTable> {
  await using file = await open(path, "r");
  const all = Buffer.alloc(256 * MIB);
  await file.read(all, 0, all.length, 0);
  const parsed = parsePartitionTable((offset, length) => all.subarray(offset, offset + length), sectorSizeBytes);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  return parsed.table;
}

async function known(path: string) {
  return (await readKernelPartitions(await blockDeviceName(path))).map((p) => [p.number, p.startBytes, p.sizeBytes]);
}

/** Forgets the partitions before the loop device goes, or they would stay behind with it. */
async function kioskDisk(sector: number) {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await createLoopDevice(256 * MIB, { sectorSizeBytes: sector }));
  await runTestCommand(["sfdisk", "--no-reread", path], kiosk(sector));
  const table = await readTable(path, sector);
  stack.defer(() => forgetPartitions(path));
  const kept = stack.move();
  return { path, table, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

for (const sector of [512, 4096]) {
  test(`partitions are known before their table is on the disk, ${sector}-byte sectors`, async () => {
    await using disk = await kioskDisk(sector);
    await runTestCommand(["dd", "if=/dev/zero", `of=${disk.path}`, "bs=1M", "count=1", "conv=fsync"]);
    await addPartitions(disk.path, disk.table);
    const extended = disk.table.partitions.find((p) => p.kind === "extended");
    expect(await known(disk.path)).toEqual(
      disk.table.partitions.map((p) => [p.number, p.startBytes, p === extended ? Math.max(1024, sector) : p.sizeBytes]),
    );
    await makeFileSystem(partitionPath(disk.path, 6), "ext4", { label: "kiosk" });
    await using directory = await temporaryDirectory();
    await using mount = await mountReadWrite(partitionPath(disk.path, 6), directory.dir);
    expect(mount.type).toBe("ext4");
    await expect(forgetPartitions(disk.path)).rejects.toMatchObject({ code: "target-busy" });
  }, 30_000);
}

test("the table on the disk is read anew; a busy partition that did not change is no obstacle", async () => {
  await using disk = await kioskDisk(512);
  await rereadPartitions(disk.path);
  await verifyPartitions(disk.path, disk.table);
  await makeFileSystem(partitionPath(disk.path, 2), "ext4");
  await using directory = await temporaryDirectory();
  await using _mount = await mountReadWrite(partitionPath(disk.path, 2), directory.dir);
  await runTestCommand(["sfdisk", "--no-reread", "--delete", disk.path, "6"]);
  await rereadPartitions(disk.path);
  expect((await known(disk.path)).map(([number]) => number)).toEqual([1, 2, 3, 5]);
  await runTestCommand(["sfdisk", "--no-reread", "--force", "--delete", disk.path, "2"]);
  await expect(rereadPartitions(disk.path)).rejects.toMatchObject({ code: "target-busy" });
}, 30_000);

test("the table is read anew through the exclusive descriptor while the device is held", async () => {
  await using disk = await kioskDisk(512);
  await using device = await openBlockDevice(disk.path, { write: true, exclusive: true });
  await rereadPartitions(disk.path, device.fd);
  await verifyPartitions(disk.path, disk.table);
}, 30_000);

test("a disk without a table has no partitions after a reread", async () => {
  await using disk = await kioskDisk(512);
  await addPartitions(disk.path, disk.table);
  await runTestCommand(["dd", "if=/dev/zero", `of=${disk.path}`, "bs=1M", "count=1", "conv=fsync"]);
  await rereadPartitions(disk.path);
  expect(await known(disk.path)).toEqual([]);
}, 30_000);

test("a difference between table and kernel is named", async () => {
  await using disk = await kioskDisk(512);
  await addPartitions(disk.path, disk.table);
  await runTestCommand(["delpart", disk.path, "5"]);
  await expect(verifyPartitions(disk.path, disk.table)).rejects.toMatchObject({
    code: "partition-table",
    message: expect.stringContaining("partition 5 of the table is not known"),
  });
}, 30_000);

test("a partition that was left read-only is writable after partitions are added again", async () => {
  await using disk = await kioskDisk(512);
  await addPartitions(disk.path, disk.table);
  await setReadOnly(partitionPath(disk.path, 2), true);
  await addPartitions(disk.path, disk.table);
  const [, second] = await readKernelPartitions(await blockDeviceName(disk.path));
  expect(second?.readOnly).toBe(false);
  expect((await stat(partitionPath(disk.path, 2))).isBlockDevice()).toBe(true);
}, 30_000);

test("a logical partition right behind its table does not collide with the extended one", async () => {
  await using disk = await createLoopDevice(16 * MIB);
  const pieces = new Map([
    [0, mbrSector([{ type: 0x05, start: 2048, sectors: 20_000 }])],
    [2048 * 512, mbrSector([{ type: 0x83, start: 1, sectors: 4096 }], 0)],
  ]);
  const parsed = parsePartitionTable(diskOf(16 * MIB, pieces), 512);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  await addPartitions(disk.path, parsed.table);
  try {
    expect(await known(disk.path)).toEqual([
      [1, 2048 * 512, 512],
      [5, 2049 * 512, 4096 * 512],
    ]);
  } finally {
    await forgetPartitions(disk.path);
  }
});
