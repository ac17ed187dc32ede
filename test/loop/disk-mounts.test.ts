/** Mounting without changing a byte, on file systems that were left dirty. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mountReadOnly, mountReadWrite, unmountBelow } from "../../src/disk/mounts.ts";
import {
  attachLoopDevice,
  createLoopDevice,
  makeFileSystem,
  mountDevice,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";

const MIB = 1024 * 1024;

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** A loop device over a copy of a file system that was taken while it was mounted: what a power cut leaves. */
async function dirtyDevice(type: "ext4" | "xfs" | "btrfs", dirty: (dir: string) => Promise<void>) {
  await using stack = new AsyncDisposableStack();
  const file = join(stack.use(await temporaryDirectory()).dir, "dirty");
  {
    await using loop = await createLoopDevice(320 * MIB);
    await makeFileSystem(loop.path, type);
    await using mounted = await mountDevice(loop.path);
    await writeFile(join(mounted.dir, "settled"), "settled");
    await emptyJournal(mounted.dir);
    await dirty(mounted.dir);
    await copyFile(loop.backingFile, file);
  }
  const path = await attachLoopDevice(file);
  stack.defer(async () => {
    await runTestCommand(["losetup", "--detach", path]);
  });
  const kept = stack.move();
  return { path, file, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Moves everything from the journal or log into the file system. */
async function emptyJournal(dir: string): Promise<void> {
  await runTestCommand(["fsfreeze", "--freeze", dir]);
  await runTestCommand(["fsfreeze", "--unfreeze", dir]);
}

/** A file whose metadata is in the journal or log alone. */
async function writeDurably(dir: string): Promise<void> {
  await using file = await open(join(dir, "late"), "w");
  await file.writeFile("late");
  await file.sync();
}

const isDirty = {
  ext4: async (path: string) => (await runTestCommand(["dumpe2fs", "-h", path])).includes("needs_recovery"),
  xfs: async (path: string) => (await runTestCommand(["xfs_logprint", "-t", path])).includes("<DIRTY>"),
  btrfs: async (path: string) =>
    !/^log_root\s+0$/m.test(await runTestCommand(["btrfs", "inspect-internal", "dump-super", path])),
};

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  test(`a dirty ${type} is read, its journal is not replayed, and no byte changes`, async () => {
    await using device = await dirtyDevice(type, writeDurably);
    expect(await isDirty[type](device.path)).toBe(true);
    const before = await sha256(device.file);
    await using directory = await temporaryDirectory();
    {
      await using mount = await mountReadOnly(device.path, directory.dir);
      expect(mount.type).toBe(type);
      expect(await readFile(join(directory.dir, "settled"), "utf8")).toBe("settled");
      await expect(writeFile(join(directory.dir, "new"), "")).rejects.toMatchObject({ code: "EROFS" });
    }
    await runTestCommand(["blockdev", "--flushbufs", device.path]);
    expect(await sha256(device.file)).toBe(before);
    expect((await runTestCommand(["blockdev", "--getro", device.path])).trim()).toBe("0");
    await using mount = await mountReadWrite(device.path, directory.dir);
    expect(await readFile(join(mount.directory, "late"), "utf8")).toBe("late");
  }, 60_000);
}

test("ext4 does not clean up deleted files that were open at the power cut", async () => {
  await using device = await dirtyDevice("ext4", async (dir) => {
    await using file = await open(join(dir, "open"), "w");
    await file.writeFile(Buffer.alloc(MIB, "x"));
    await rm(join(dir, "open"));
    await emptyJournal(dir); // which keeps the orphan
  });
  const before = await sha256(device.file);
  await using directory = await temporaryDirectory();
  {
    await using _mount = await mountReadOnly(device.path, directory.dir);
  }
  await runTestCommand(["blockdev", "--flushbufs", device.path]);
  expect(await sha256(device.file)).toBe(before);
}, 60_000);

test("a device that is mounted writable is refused, and so is one without a file system", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await using directory = await temporaryDirectory();
  await expect(mountReadOnly(loop.path, directory.dir)).rejects.toMatchObject({
    code: "old-os",
    message: expect.stringContaining("holds no file system"),
  });
  await makeFileSystem(loop.path, "ext4");
  await using other = await mountDevice(loop.path);
  await expect(mountReadOnly(loop.path, directory.dir, "image")).rejects.toMatchObject({
    code: "image",
    message: expect.stringContaining(`mounted writable on ${other.dir}`),
  });
});

test("one file system can be mounted for reading twice", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await makeFileSystem(loop.path, "ext4");
  await using first = await temporaryDirectory();
  await using second = await temporaryDirectory();
  await using _one = await mountReadOnly(loop.path, first.dir);
  await using two = await mountReadOnly(loop.path, second.dir);
  expect(await readFile("/proc/self/mountinfo", "utf8")).toContain(two.directory);
});

test("a read-only device is not mounted writable by falling back", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await makeFileSystem(loop.path, "ext4");
  await runTestCommand(["blockdev", "--setro", loop.path]);
  await using directory = await temporaryDirectory();
  const mountAnyway = async () => {
    await using mount = await mountReadWrite(loop.path, directory.dir);
    return mount.type;
  };
  try {
    await expect(mountAnyway()).rejects.toMatchObject({ code: "new-os" });
  } finally {
    await runTestCommand(["blockdev", "--setrw", loop.path]);
  }
});

test("what keeps a mount busy is named", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await makeFileSystem(loop.path, "ext4");
  await using directory = await temporaryDirectory();
  const mount = await mountReadWrite(loop.path, directory.dir);
  const user = await open(join(directory.dir, "file"), "w");
  try {
    await expect(mount[Symbol.asyncDispose]()).rejects.toMatchObject({
      code: "new-os",
      message: expect.stringContaining(`process ${process.pid} `),
    });
  } finally {
    await user.close();
    await mount[Symbol.asyncDispose]();
  }
}, 30_000);

test("leftovers of a killed run are unmounted, the deepest first, and neighbours stay", async () => {
  await using loop = await createLoopDevice(64 * MIB);
  await makeFileSystem(loop.path, "ext4");
  await using base = await temporaryDirectory();
  const left = join(base.dir, "old with space");
  const neighbour = join(base.dir, "old with space 2");
  await mkdir(left);
  await mkdir(neighbour);
  await runTestCommand(["mount", loop.path, left]);
  await mkdir(join(left, "proc"));
  await runTestCommand(["mount", "-t", "tmpfs", "none", join(left, "proc")]);
  await runTestCommand(["mount", "-t", "tmpfs", "none", neighbour]);
  try {
    await unmountBelow(left);
    const mounts = await readFile("/proc/self/mountinfo", "utf8");
    expect(mounts).not.toContain("old\\040with\\040space ");
    expect(mounts).toContain("old\\040with\\040space\\0402 ");
  } finally {
    const mounts = await readFile("/proc/self/mountinfo", "utf8");
    if (mounts.includes(`${base.dir}/old\\040with\\040space `)) await runTestCommand(["umount", "--recursive", left]);
    await runTestCommand(["umount", neighbour]);
  }
});
