/** The block device handle on real loop devices. */
import { expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { addPartitions, forgetPartitions, partitionPath } from "../../src/disk/kernel-partitions.ts";
import { mountReadWrite } from "../../src/disk/mounts.ts";
import { type PartitionTable, parsePartitionTable } from "../../src/disk/partition-table.ts";
import { setReadOnly } from "../../src/disk/read-only.ts";
import { alignedBuffer } from "../../src/system/libc.ts";
import { createLoopDevice, makeFileSystem, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const write = { write: true, exclusive: true };

async function onlyPartition(path: string): Promise<PartitionTable> {
  await runTestCommand(["sfdisk", "--no-reread", path], { stdin: Buffer.from("label: dos\ntype=83") });
  await using file = await open(path, "r");
  const head = Buffer.alloc(8192);
  await file.read(head, 0, head.length, 0);
  const parsed = parsePartitionTable(() => head, 512);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  return parsed.table;
}

for (const sector of [512, 4096]) {
  test(`size, sector size, and bytes beyond 4 GiB, cached and direct, ${sector}-byte sectors`, async () => {
    await using loop = await createLoopDevice(9 * GIB, { sectorSizeBytes: sector });
    await using device = await openBlockDevice(loop.path, write);
    expect([device.sizeBytes, device.sectorSizeBytes]).toEqual([9 * GIB, sector]);
    const bytes = Buffer.alloc(3 * MIB, "reimage!");
    const offset = 8 * GIB + 5 * 4096;
    await device.writeAt(bytes, offset);
    await device.sync();
    device.dropCaches();
    const cached = Buffer.alloc(bytes.length);
    await device.readAt(cached, offset);
    expect(cached.equals(bytes)).toBe(true);
    const direct = alignedBuffer(bytes.length);
    await device.readDirectAt(direct, offset);
    expect(direct.equals(bytes)).toBe(true);
    await using file = await open(loop.backingFile, "r");
    const inFile = Buffer.alloc(bytes.length);
    await file.read(inFile, 0, inFile.length, offset);
    expect(inFile.equals(bytes)).toBe(true);
  }, 30_000);
}

test("a direct read sees what is below the page cache", async () => {
  await using loop = await createLoopDevice(16 * MIB);
  await using device = await openBlockDevice(loop.path, write);
  await device.writeAt(Buffer.alloc(4096, "a"), 4096);
  await device.sync();
  await using below = await open(loop.backingFile, "r+");
  await below.write(Buffer.alloc(4096, "b"), 0, 4096, 4096);
  const cached = Buffer.alloc(4096);
  await device.readAt(cached, 4096);
  const direct = alignedBuffer(4096);
  await device.readDirectAt(direct, 4096);
  expect([cached.toString("latin1", 0, 1), direct.toString("latin1", 0, 1)]).toEqual(["a", "b"]);
  device.dropCaches();
  await device.readAt(cached, 4096);
  expect(cached.toString("latin1", 0, 1)).toBe("b");
});

test("zeros are written over a range and nowhere else", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await using device = await openBlockDevice(loop.path, write);
  await device.writeAt(Buffer.alloc(64 * MIB, 0xff), 0);
  await device.zeroRange(MIB, 40 * MIB);
  await device.sync();
  const all = Buffer.alloc(64 * MIB);
  await device.readAt(all, 0);
  expect(all.subarray(0, MIB).every((byte) => byte === 0xff)).toBe(true);
  expect(all.subarray(MIB, 41 * MIB).every((byte) => byte === 0)).toBe(true);
  expect(all.subarray(41 * MIB).every((byte) => byte === 0xff)).toBe(true);
});

test("nothing is written behind the end, not even in part", async () => {
  await using loop = await createLoopDevice(16 * MIB);
  await using device = await openBlockDevice(loop.path, write);
  await expect(device.writeAt(Buffer.alloc(8192, "x"), 16 * MIB - 4096)).rejects.toMatchObject({
    code: "device-io",
    message: expect.stringContaining(`writing ${loop.path} at byte ${16 * MIB - 4096}`),
  });
  const last = Buffer.alloc(4096);
  await device.readAt(last, 16 * MIB - 4096);
  expect(last.every((byte) => byte === 0)).toBe(true);
});

test("a write that the device refuses names device and offset", async () => {
  await using loop = await createLoopDevice(16 * MIB);
  await using device = await openBlockDevice(loop.path, write);
  await setReadOnly(loop.path, true);
  try {
    await expect(device.writeAt(Buffer.alloc(4096), 8192)).rejects.toMatchObject({
      code: "device-io",
      message: expect.stringContaining(`writing ${loop.path} at byte 8192`),
    });
  } finally {
    await setReadOnly(loop.path, false);
  }
});

test("data that never reaches the disk fails the sync", async () => {
  // The file below the loop device lies in a file system of 1 MiB, so the kernel's write-back fails.
  await using small = await temporaryDirectory();
  await runTestCommand(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small.dir]);
  try {
    await runTestCommand(["truncate", "-s", "16M", `${small.dir}/disk`]);
    const path = (await runTestCommand(["losetup", "--find", "--show", `${small.dir}/disk`])).trim();
    try {
      const device = await openBlockDevice(path, write);
      try {
        await device.writeAt(Buffer.alloc(8 * MIB, "x"), 0);
        await expect(device.sync()).rejects.toMatchObject({
          code: "device-io",
          message: expect.stringContaining("syncing"),
        });
      } finally {
        await device[Symbol.asyncDispose]();
      }
    } finally {
      await runTestCommand(["losetup", "--detach", path]);
    }
  } finally {
    await runTestCommand(["umount", small.dir]);
  }
}, 30_000);

test("a device with a mounted partition cannot be opened exclusively, and a held one cannot be mounted", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  const table = await onlyPartition(loop.path);
  await addPartitions(loop.path, table);
  try {
    const partition = partitionPath(loop.path, 1);
    await makeFileSystem(partition, "ext4");
    await using directory = await temporaryDirectory();
    {
      await using _mount = await mountReadWrite(partition, directory.dir);
      await expect(openBlockDevice(loop.path, write)).rejects.toMatchObject({
        code: "target-busy",
        message: expect.stringContaining(loop.path),
      });
    }
    await using _device = await openBlockDevice(loop.path, write);
    await expect(mountReadWrite(partition, directory.dir)).rejects.toMatchObject({ code: "new-os" });
  } finally {
    await forgetPartitions(loop.path);
  }
}, 30_000);

test("what is no block device, or not there, is refused", async () => {
  await using directory = await temporaryDirectory();
  await Bun.write(`${directory.dir}/file`, "x");
  for (const path of [`${directory.dir}/file`, `${directory.dir}/none`, "/dev/null"]) {
    await expect(openBlockDevice(path, { write: false, exclusive: false })).rejects.toMatchObject({
      code: "device-io",
    });
  }
});
