import { describe, expect, test } from "bun:test";
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openRootedDirectory } from "../../../src/retention/rooted.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

/** A root and, beside it, a directory that nothing may get into. */
async function makeRoot() {
  const temporary = await temporaryDirectory();
  const root = join(temporary.dir, "root");
  const outside = join(temporary.dir, "outside");
  for (const dir of [root, join(root, "etc"), outside]) await mkdir(dir);
  await writeFile(join(outside, "file"), "not yours");
  return { root, outside, [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose]() };
}

describe("a symbolic link in the root leads nowhere else:", () => {
  const links: readonly (readonly [string, (outside: string) => string, string])[] = [
    ["absolute", (outside) => outside, "absolute path inside the root"],
    ["relative", () => "../../outside", "stopped at the root"],
    ["far up", () => "../../../../../../../../outside", "stopped at the root"],
    ["by a second link", () => "/etc/second", "followed inside the root"],
  ];
  for (const [name, target] of links) {
    test(name, async () => {
      await using dirs = await makeRoot();
      await symlink(target(dirs.outside), join(dirs.root, "etc/link"));
      await symlink("../../../../outside", join(dirs.root, "etc/second"));
      {
        await using rooted = await openRootedDirectory(dirs.root);
        await rooted.writeFile("/etc/link/file", "mine");
        await rooted.writeFile("/etc/link/deep/er/file", "mine too");
        expect(String(await rooted.readFile("/etc/link/file"))).toBe("mine");
      }
      expect(await readdir(dirs.outside)).toEqual(["file"]);
      expect(await readFile(join(dirs.outside, "file"), "utf8")).toBe("not yours");
    });
  }
});

test("`..` stops at the root, and is no name for a file", async () => {
  await using dirs = await makeRoot();
  await using rooted = await openRootedDirectory(dirs.root);
  await rooted.writeFile("/../../outside/file", "mine");
  expect(await readFile(join(dirs.root, "outside/file"), "utf8")).toBe("mine");
  expect(await readFile(join(dirs.outside, "file"), "utf8")).toBe("not yours");
  await expect(rooted.writeFile("/etc/..", "x")).rejects.toThrow("does not name a file");
  await expect(rooted.writeFile("/", "x")).rejects.toThrow("does not name a file");
});

test("reading follows links inside the root only, and reads regular files only", async () => {
  await using dirs = await makeRoot();
  await symlink(join(dirs.outside, "file"), join(dirs.root, "etc/link"));
  await symlink("circle", join(dirs.root, "circle"));
  await using rooted = await openRootedDirectory(dirs.root);
  expect(await rooted.readFile("/etc/link")).toBeNull();
  expect(await rooted.readFile("/etc/nothing")).toBeNull();
  await expect(rooted.readFile("/etc")).rejects.toThrow("/etc is not a regular file");
  await expect(rooted.readFile("/circle")).rejects.toThrow("ELOOP");
  expect(await rooted.resolve("/etc/../etc/.")).toEqual(Buffer.from("/etc"));
  expect(await rooted.resolve("/")).toEqual(Buffer.from("/"));
  expect(await rooted.resolve("/etc/link")).toBeNull();
});

test("a written file replaces what is there, link or file, whole and with its mode", async () => {
  await using dirs = await makeRoot();
  await symlink(join(dirs.outside, "file"), join(dirs.root, "etc/link"));
  await writeFile(join(dirs.root, "source"), "copied");
  await using rooted = await openRootedDirectory(dirs.root);
  await rooted.writeFile("/etc/link", "first");
  await rooted.writeFile("/etc/link", "second", 0o600);
  await rooted.copyIn("/new/dir/copy", join(dirs.root, "source"), 0o640);
  const facts = async (path: string) => {
    const stats = await lstat(join(dirs.root, path));
    return [stats.isFile(), stats.mode & 0o7777, await readFile(join(dirs.root, path), "utf8")];
  };
  expect([await facts("etc/link"), await facts("new/dir/copy")]).toEqual([
    [true, 0o600, "second"],
    [true, 0o640, "copied"],
  ]);
  expect(await readdir(join(dirs.root, "etc"))).toEqual(["link"]);
});

test("what fails leaves what was there, and no temporary file", async () => {
  await using dirs = await makeRoot();
  await writeFile(join(dirs.root, "etc/file"), "old");
  await mkdir(join(dirs.root, "etc/full"));
  await writeFile(join(dirs.root, "etc/full/x"), "");
  await using rooted = await openRootedDirectory(dirs.root);
  const failing = rooted.replace("/etc/file", async (temporary) => {
    await writeFile(temporary, "half");
    throw new Error("no more");
  });
  await expect(failing).rejects.toThrow("no more");
  await expect(rooted.writeFile("/etc/full", "x")).rejects.toThrow("a directory that is not empty");
  await expect(rooted.copyIn("/etc/file", join(dirs.root, "missing"))).rejects.toThrow("ENOENT");
  await expect(rooted.writeFile("/etc/file/x", "x")).rejects.toThrow("ENOTDIR");
  expect((await readdir(join(dirs.root, "etc"))).toSorted()).toEqual(["file", "full"]);
  expect(await readFile(join(dirs.root, "etc/file"), "utf8")).toBe("old");
});

test("a temporary file or directory that a crash left is in nobody's way", async () => {
  await using dirs = await makeRoot();
  await writeFile(join(dirs.root, ".reimage-temporary"), "half");
  await mkdir(join(dirs.root, "etc/.reimage-temporary"));
  await using rooted = await openRootedDirectory(dirs.root);
  await rooted.ensureDirectory("/made");
  await rooted.writeFile("/etc/file", "whole");
  expect(await readdir(join(dirs.root, "etc"))).toEqual(["file"]);
  expect((await readdir(dirs.root)).toSorted()).toEqual(["etc", "made"]);
});

test("missing directories are made behind a dangling link, and appear with what `prepare` gave them", async () => {
  await using dirs = await makeRoot();
  await symlink("../data/kiosk", join(dirs.root, "etc/kiosk"));
  await using rooted = await openRootedDirectory(dirs.root);
  const made: string[] = [];
  await rooted.ensureDirectory("/etc/kiosk/state", async (temporary, path) => {
    made.push(path.toString());
    await chmod(temporary, 0o750);
    expect(await rooted.resolve(path)).toBeNull();
  });
  expect(made).toEqual(["/etc/../data", "/etc/../data/kiosk", "/etc/kiosk/state"]);
  expect((await lstat(join(dirs.root, "data/kiosk/state"))).mode & 0o7777).toBe(0o750);
  expect(await readlink(join(dirs.root, "etc/kiosk"))).toBe("../data/kiosk");
});
