/** Paths inside a root, looked up name by name as old kernels need it: the same as the kernel's own openat2(2) finds. */
import { expect, test } from "bun:test";
import { constants, fstatSync, openSync, readdirSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../../src/retention/file-io.ts";
import { openNameByName } from "../../../src/retention/open-in-root.ts";
import { closeFd, openInRoot } from "../../../src/system/libc.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";
import { createRandom } from "../../support/random.ts";

const O_PATH = 0o10000000;

/** Which file was opened, or the errno. */
function found(open: () => number): string {
  try {
    const fd = open();
    const { dev, ino } = fstatSync(fd);
    closeFd(fd);
    return `${dev}:${ino}`;
  } catch (error) {
    return errnoOf(error) ?? String(error);
  }
}

const words = ["a", "b", "c", "..", ".", "file", "link-1", "link-2", "link-3", "link-4"] as const;

test("what is found is what openat2(2) finds, in random trees, and nothing stays open", async () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = createRandom(seed);
    await using temporary = await temporaryDirectory();
    const root = join(temporary.dir, "root");
    const path = (most: number): string => {
      const names = Array.from({ length: 1 + random.below(most) }, () => random.pick(words)).join("/");
      return `${random.pick(["", "/", "//"])}${names}${random.pick(["", "", "/", "/."])}`;
    };
    for (const directory of ["a/b/c", "b/a", "c"]) await mkdir(join(root, directory), { recursive: true });
    await writeFile(join(temporary.dir, "file"), "outside");
    for (const place of ["file", "a/file", "a/b/file"]) await writeFile(join(root, place), place);
    for (let link = 1; link <= 4; link += 1)
      await symlink(path(4), join(root, random.pick(["", "a", "a/b"]), `link-${link}`));
    const rootFd = openSync(root, O_PATH | constants.O_DIRECTORY);
    const open = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 300; i += 1) {
      const wanted = path(6);
      const flags = random.pick([0, constants.O_DIRECTORY]);
      const expected = found(() => openInRoot(rootFd, wanted, O_PATH | flags));
      outcomes.add(/^\d/.test(expected) ? "found" : expected);
      expect([wanted, found(() => openNameByName(rootFd, wanted, flags))]).toEqual([wanted, expected]);
    }
    expect(readdirSync("/proc/self/fd").length).toBe(open);
    closeFd(rootFd);
  }
  expect([...outcomes].sort()).toEqual(["ELOOP", "ENOENT", "ENOTDIR", "found"]);
});
