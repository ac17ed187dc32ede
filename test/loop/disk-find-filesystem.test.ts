/** File systems found by probing real ones, and the inventory of the loop devices they lie on. */
import { expect, test } from "bun:test";
import { open, stat } from "node:fs/promises";
import { findFileSystem, probeFileSystem } from "../../src/disk/find-filesystem.ts";
import { checkUnused } from "../../src/disk/guard.ts";
import { type Disk, deviceToDisks, readDisks } from "../../src/disk/inventory.ts";
import { addPartitions, forgetPartitions, partitionPath } from "../../src/disk/kernel-partitions.ts";
import { parsePartitionTable } from "../../src/disk/partition-table.ts";
import { protectOtherDisks } from "../../src/disk/read-only.ts";
import {
  attachLoopDevice,
  createLoopDevice,
  makeFileSystem,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";

const MIB = 1024 * 1024;

/** Three partitions: ext4 "my root", xfs "data", swap; PARTLABELs with awkward characters. */
async function oldDisk() {
  await using stack = new AsyncDisposableStack();
  const { path, backingFile } = stack.use(await createLoopDevice(700 * MIB));
  const parts = ["-n1:0:+64M", "-c1:Wurzel ü", "-n2:0:+400M", "-c2:data", "-n3:0:+64M"];
  await runTestCommand(["sgdisk", ...parts, path]);
  await using file = await open(path, "r");
  const head = Buffer.alloc(MIB);
  await file.read(head, 0, MIB, 0);
  const parsed = parsePartitionTable((offset, length) => head.subarray(offset, offset + length), 512);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  stack.defer(() => forgetPartitions(path));
  await addPartitions(path, parsed.table);
  await makeFileSystem(partitionPath(path, 1), "ext4", { label: "my root" });
  await makeFileSystem(partitionPath(path, 2), "xfs", { label: "data" });
  await makeFileSystem(partitionPath(path, 3), "swap");
  const kept = stack.move();
  return { path, backingFile, table: parsed.table, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function diskAt(path: string): Promise<Disk> {
  const disk = (await readDisks()).find((candidate) => candidate.path === path);
  if (disk === undefined) throw new Error(`${path} is not in the inventory`);
  return disk;
}

test("a file system is found by every kind of name, on its disk and partition", async () => {
  await using loop = await oldDisk();
  const disk = await diskAt(loop.path);
  const [first, second] = loop.table.partitions;
  const uuid = (await probeFileSystem(partitionPath(loop.path, 1)))?.uuid ?? "";
  const names: [string, number][] = [
    ["LABEL=my root", 1],
    [`UUID=${uuid.toUpperCase()}`, 1],
    ["PARTLABEL=Wurzel ü", 1],
    [`PARTUUID=${first?.uuid}`, 1],
    [`/dev/disk/by-partuuid/${second?.uuid}`, 2],
    ["/dev/disk/by-label/data", 2],
    [partitionPath(loop.path, 2), 2],
  ];
  for (const [spec, number] of names) {
    const found = await findFileSystem(spec, { disks: [disk], code: "old-os" });
    expect([spec, found.device, found.partitionNumber]).toEqual([spec, partitionPath(loop.path, number), number]);
    expect(found.disk).toBe(disk);
    expect(found.fileSystem?.type).toBe(number === 1 ? "ext4" : "xfs");
  }
}, 30_000);

test("what is not there, or is there twice, is refused with a list of what there is", async () => {
  await using loop = await oldDisk();
  const disks = [await diskAt(loop.path)];
  await expect(findFileSystem("LABEL=nothing", { disks, code: "image" })).rejects.toMatchObject({
    code: "image",
    message: expect.stringMatching(
      /nothing is LABEL=nothing; there is:\n.*ext4 LABEL=my root UUID=.*\n.*LABEL=data.*\n.*swap/,
    ),
  });
  await expect(findFileSystem("my root", { disks, code: "new-os" })).rejects.toMatchObject({ code: "new-os" });
  await using copies = await temporaryDirectory();
  const copy = `${copies.dir}/copy`;
  await runTestCommand(["dd", `if=${partitionPath(loop.path, 2)}`, `of=${copy}`, "bs=4M", "conv=sparse"]);
  const twin = await attachLoopDevice(copy);
  try {
    const both = [...disks, await diskAt(twin)];
    await expect(findFileSystem("LABEL=data", { disks: both, code: "old-os" })).rejects.toMatchObject({
      code: "ambiguous",
      message: expect.stringContaining(`${partitionPath(loop.path, 2)} and ${twin} are both LABEL=data`),
    });
    // Only the disks that are given count: the new OS is looked for on the target alone.
    expect((await findFileSystem("LABEL=data", { disks, code: "new-os" })).device).toBe(partitionPath(loop.path, 2));
  } finally {
    await runTestCommand(["losetup", "--detach", twin]);
  }
}, 60_000);

test("a range of a file is probed", async () => {
  await using loop = await oldDisk();
  const [first] = loop.table.partitions;
  if (first === undefined) throw new Error("no partition");
  await runTestCommand(["sync"]);
  const range = { offsetBytes: first.startBytes, sizeBytes: first.sizeBytes };
  expect(await probeFileSystem(loop.backingFile, range)).toMatchObject({ type: "ext4", label: "my root" });
  expect(await probeFileSystem(loop.backingFile, { ...range, offsetBytes: 600 * MIB, sizeBytes: MIB })).toBeNull();
}, 30_000);

test("the inventory knows a loop disk, its partitions and what holds it", async () => {
  await using loop = await oldDisk();
  const disk = await diskAt(loop.path);
  expect(disk).toMatchObject({
    transport: "loop",
    sizeBytes: 700 * MIB,
    sectorSizeBytes: 512,
    removable: false,
    holders: [],
  });
  expect(disk.partitions.map((p) => [p.number, p.path, p.startBytes, p.sizeBytes])).toEqual(
    loop.table.partitions.map((p) => [p.number, partitionPath(loop.path, p.number), p.startBytes, p.sizeBytes]),
  );
  const { rdev } = await stat(loop.path);
  expect(disk.deviceNumber).toBe(`${rdev >> 8}:${rdev & 0xff}`);
  expect(await deviceToDisks(partitionPath(loop.path, 3))).toEqual([disk.name]);
  checkUnused(disk, [], []);
  const holder = await attachLoopDevice(partitionPath(loop.path, 2), { readOnly: true });
  try {
    const held = await diskAt(loop.path);
    expect(held.holders).toEqual([holder.replace("/dev/", "")]);
    expect(() => checkUnused(held, [], [])).toThrow(`${holder} is made of it`);
  } finally {
    await runTestCommand(["losetup", "--detach", holder]);
  }
}, 30_000);

async function writeTo(path: string): Promise<void> {
  await using file = await open(path, "r+");
  await file.write(Buffer.alloc(4096), 0, 4096, 8192);
}

test("every other disk is read-only in the kernel for the time of a run, and as before afterwards", async () => {
  await using target = await createLoopDevice(16 * MIB);
  await using other = await oldDisk();
  await using frozen = await createLoopDevice(16 * MIB);
  await runTestCommand(["blockdev", "--setro", frozen.path]);
  const flags = async () => {
    const devices = [target.path, other.path, partitionPath(other.path, 1), frozen.path];
    return (await runTestCommand(["blockdev", "--getro", ...devices])).trim().split("\n").join("");
  };
  const disks = await Promise.all([target.path, other.path, frozen.path].map(diskAt));
  expect(await flags()).toBe("0001");
  {
    await using protection = await protectOtherDisks(disks, await diskAt(target.path));
    expect(protection.changed).toContain(other.path);
    expect(protection.changed).not.toContain(frozen.path);
    expect(await flags()).toBe("0111");
    await expect(writeTo(other.path)).rejects.toMatchObject({ code: expect.stringMatching(/EACCES|EPERM/) });
    await expect(writeTo(partitionPath(other.path, 1))).rejects.toMatchObject({
      code: expect.stringMatching(/EACCES|EPERM/),
    });
    await writeTo(target.path);
  }
  expect(await flags()).toBe("0001");
  await runTestCommand(["blockdev", "--setrw", frozen.path]);
}, 30_000);
