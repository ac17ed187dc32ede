/** The file systems of a running system, shown once more: also where its mounts are shared, as systemd makes them. */
import { expect, test } from "bun:test";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mountLiving } from "../../src/disk/mounts.ts";
import {
  createLoopDevice,
  makeFileSystem,
  mountDevice,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";

test("what is mounted later in a shared original does not appear in what is shown, writable", async () => {
  await using loop = await createLoopDevice(32 << 20);
  await makeFileSystem(loop.path, "ext4");
  await using original = await mountDevice(loop.path);
  await runTestCommand(["mount", "--make-shared", original.dir]);
  await mkdir(join(original.dir, "later"));
  await using temporary = await temporaryDirectory();
  const shown = join(temporary.dir, "shown");
  await mkdir(shown);
  {
    await using _mount = await mountLiving(loop.path, shown);
    await runTestCommand(["mount", "-t", "tmpfs", "tmpfs", join(original.dir, "later")]);
    try {
      await writeFile(join(original.dir, "later", "file"), "of another file system");
      expect(await readdir(join(shown, "later"))).toEqual([]);
      expect(writeFile(join(shown, "later", "file"), "")).rejects.toThrow("EROFS");
    } finally {
      await runTestCommand(["umount", join(original.dir, "later")]);
    }
  }
  expect(await readdir(shown)).toEqual([]);
});
