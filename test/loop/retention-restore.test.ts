/** What restoring does to a new OS that already has something in the way. Needs root, but no devices. */
import { describe, expect, test } from "bun:test";
import { chmod, chown, lstat, mkdir, open, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import type { RetainedArchive } from "../../src/retention/entry.ts";
import { restoreRetained } from "../../src/retention/restore.ts";
import { getXattr, listXattrs, makeNode, setTimes, setXattr } from "../../src/system/libc.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { makeFiles, makeRoots, save } from "../support/retained.ts";

async function tree(root: string): Promise<string[]> {
  const lines = await runTestCommand(["find", ".", "-mindepth", "1", "-printf", "%y %P %l\n"], { cwd: root });
  return lines
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd())
    .toSorted();
}

async function refusal(archive: RetainedArchive, newRoot: string): Promise<ReimageError> {
  try {
    await restoreRetained(archive, newRoot);
  } catch (error) {
    if (error instanceof ReimageError) return error;
    throw error;
  }
  throw new Error("it was restored");
}

describe("nothing gets out of the new root:", () => {
  const traps: readonly (readonly [string, (outside: string) => readonly string[]])[] = [
    ["an absolute link as parent", (outside) => [`var/lib -> ${outside}`]],
    ["a relative link as parent", () => ["var/lib -> ../../outside"]],
    ["a link above the parent", () => ["var -> ../../../../outside"]],
    ["links one after the other", (outside) => ["var/lib -> next", `var/next -> ${outside}`]],
    ["a link in place of the file", (outside) => [`var/lib/kiosk/file -> ${outside}/kiosk/file`]],
    ["a link in place of the directory", (outside) => [`var/lib/kiosk -> ${outside}/kiosk`]],
  ];
  for (const [name, links] of traps) {
    test(name, async () => {
      await using roots = await makeRoots();
      const outside = join(roots.dir, "outside");
      await makeFiles(roots.dir, ["outside/kiosk/file = not yours", "outside/lib/kiosk/file = not yours"]);
      const before = await tree(outside);
      await makeFiles(roots.oldRoot, ["var/lib/kiosk/file = mine", "var/lib/kiosk/sub/other = mine too"]);
      await makeFiles(roots.newRoot, links(outside));
      await restoreRetained(await save(roots.oldRoot, "/var/lib/kiosk\n", roots.workDir), roots.newRoot);
      expect(await tree(outside)).toEqual(before);
      expect(await readFile(join(outside, "kiosk/file"), "utf8")).toBe("not yours");
      const found = await runTestCommand(["find", roots.newRoot, "-name", "other", "-type", "f"]);
      expect(found.trim().split("\n")).toHaveLength(1);
    });
  }

  test("a retained link that points outside is restored, not followed", async () => {
    await using roots = await makeRoots();
    await makeFiles(roots.dir, ["outside/x = not yours"]);
    // The old OS had a link where the list also names a file behind it.
    await makeFiles(roots.oldRoot, ["outside/x = mine", "a/link -> /outside"]);
    const archive = await save(roots.oldRoot, "/a\n/a/link/x\n", roots.workDir);
    await restoreRetained(archive, roots.newRoot);
    expect(await tree(roots.newRoot)).toEqual(["d a", "d outside", "f outside/x", "l a/link /outside"]);
    expect(await readFile(join(roots.dir, "outside/x"), "utf8")).toBe("not yours");
  });
});

test("files are replaced, directories merged, and an empty directory makes way", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, [
    "k/file = old",
    "k/dir/f = old",
    "k/was-file/f = old",
    "k/to-dir -> dir",
    "k/d2/f = old",
  ]);
  const newFiles = [
    "k/file/",
    "k/dir/of-new = new",
    "k/was-file = new",
    "k/to-dir = new",
    "k/d2 -> /elsewhere",
    "elsewhere/",
  ];
  await makeFiles(roots.newRoot, newFiles);
  await chmod(join(roots.oldRoot, "k/dir"), 0o2750);
  const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
  for (const _round of [1, 2]) {
    await restoreRetained(archive, roots.newRoot);
    expect(await tree(roots.newRoot)).toEqual([
      "d elsewhere",
      "d k",
      "d k/dir",
      "d k/was-file",
      "f elsewhere/f",
      "f k/dir/f",
      "f k/dir/of-new",
      "f k/file",
      "f k/was-file/f",
      "l k/d2 /elsewhere",
      "l k/to-dir dir",
    ]);
  }
  expect((await lstat(join(roots.newRoot, "k/dir"))).mode & 0o7777).toBe(0o2750);
});

test("a directory that is not empty is not deleted for a file: it is named, and nothing after it is touched", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/b = old", "k/c = old"]);
  await makeFiles(roots.newRoot, ["k/b/precious = new", "k/c = new"]);
  const error = await refusal(await save(roots.oldRoot, "/k\n", roots.workDir), roots.newRoot);
  expect(error.code).toBe("restore");
  expect(error.message).toBe("cannot restore /k/b in the new OS: a directory that is not empty is in its place");
  expect(error.hint).toContain("still in RAM");
  expect(await tree(roots.newRoot)).toEqual(["d k", "d k/b", "f k/b/precious", "f k/c"]);
  expect(await readFile(join(roots.newRoot, "k/c"), "utf8")).toBe("new");
});

test("owners and ACL entries are found by name in the new OS, else by number", async () => {
  await using roots = await makeRoots();
  const [oldPasswd, newPasswd] = ["kiosk:x:1000:1000::/:\ngone:x:1001:1001::/:\n", "kiosk:x:1007:1::/:\n"];
  await makeFiles(roots.oldRoot, [
    `etc/passwd = ${oldPasswd}`,
    "etc/group = kiosk:x:1000:\n",
    "k/named",
    "k/gone",
    "k/number",
  ]);
  await makeFiles(roots.newRoot, [`etc/passwd = ${newPasswd}`, "etc/group = kiosk:x:1008:\n"]);
  const at = (root: string, name: string) => join(root, "k", name);
  await chown(at(roots.oldRoot, "named"), 1000, 1000);
  await chmod(at(roots.oldRoot, "named"), 0o4750);
  await chown(at(roots.oldRoot, "gone"), 1001, 1001);
  await chown(at(roots.oldRoot, "number"), 1234, 1234);
  await runTestCommand(["setfacl", "-m", "u:1000:rw,u:1001:r,g:1000:x,u:5:w", at(roots.oldRoot, "number")]);
  const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
  await restoreRetained(archive, roots.newRoot);
  const owners: Record<string, unknown> = {};
  for (const name of ["named", "gone", "number"]) {
    const { uid, gid, mode } = await lstat(at(roots.newRoot, name));
    owners[name] = [uid, gid, (mode & 0o7777).toString(8)];
  }
  expect(owners).toEqual({ named: [1007, 1008, "4750"], gone: [1001, 1001, "644"], number: [1234, 1234, "674"] });
  const acl = await runTestCommand(["getfacl", "-cnp", at(roots.newRoot, "number")]);
  expect(acl.trim().split("\n")).toEqual([
    "user::rw-",
    "user:5:-w-",
    "user:1001:r--",
    "user:1007:rw-",
    "group::r--",
    "group:1008:--x",
    "mask::rwx",
    "other::r--",
  ]);
});

test("where /etc/passwd is retained itself, its numbers count, in the first run and in the next", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["etc/passwd = kiosk:x:1000:1000::/:\n", "k/f"]);
  await makeFiles(roots.newRoot, ["etc/passwd = kiosk:x:1007:1007::/:\n"]);
  await chown(join(roots.oldRoot, "k/f"), 1000, 0);
  const archive = await save(roots.oldRoot, "/etc/passwd\n/k\n", roots.workDir);
  for (const _round of [1, 2]) {
    await restoreRetained(archive, roots.newRoot);
    expect((await lstat(join(roots.newRoot, "k/f"))).uid).toBe(1000);
  }
});

test("missing parents come back as they were, existing ones stay; @move goes where it says", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["srv/a/b/f", "opt/x/y", "opt/x/z"]);
  await makeFiles(roots.newRoot, ["srv/"]);
  await chmod(join(roots.oldRoot, "srv"), 0o700);
  await chmod(join(roots.oldRoot, "srv/a"), 0o1770);
  await chown(join(roots.oldRoot, "srv/a"), 5, 6);
  const archive = await save(roots.oldRoot, "/srv/a/b/f\n@move /opt/x -> /usr/share/kiosk x\n", roots.workDir);
  await restoreRetained(archive, roots.newRoot);
  expect(await tree(roots.newRoot)).toEqual([
    "d srv",
    "d srv/a",
    "d srv/a/b",
    "d usr",
    "d usr/share",
    "d usr/share/kiosk x",
    "f srv/a/b/f",
    "f usr/share/kiosk x/y",
    "f usr/share/kiosk x/z",
  ]);
  const [srv, a] = [await lstat(join(roots.newRoot, "srv")), await lstat(join(roots.newRoot, "srv/a"))];
  expect([srv.mode & 0o7777, a.mode & 0o7777, a.uid, a.gid]).toEqual([0o755, 0o1770, 5, 6]);
});

test("where the archive has no SELinux label, that of the replaced file counts, else that of the directory", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/labelled", "k/replaced", "k/fresh", "k/sub/deep"]);
  await makeFiles(roots.newRoot, ["k/labelled", "k/replaced"]);
  const label = (path: string, type: string) => setXattr(path, "security.selinux", Buffer.from(`u:r:${type}\0`));
  label(join(roots.oldRoot, "k/labelled"), "from_old");
  label(join(roots.newRoot, "k"), "of_directory");
  label(join(roots.newRoot, "k/labelled"), "of_labelled");
  label(join(roots.newRoot, "k/replaced"), "of_replaced");
  await restoreRetained(await save(roots.oldRoot, "/k\n", roots.workDir), roots.newRoot);
  const labels: Record<string, string> = {};
  for (const name of ["", "labelled", "replaced", "fresh", "sub", "sub/deep"]) {
    labels[name] = getXattr(join(roots.newRoot, "k", name), "security.selinux")
      .toString()
      .replace("\0", "");
  }
  expect(labels).toEqual({
    "": "u:r:of_directory",
    labelled: "u:r:from_old",
    replaced: "u:r:of_replaced",
    fresh: "u:r:of_directory",
    sub: "u:r:of_directory",
    "sub/deep": "u:r:of_directory",
  });
});

test("a merged directory loses attributes that the retained one had not", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/f"]);
  await makeFiles(roots.newRoot, ["k/"]);
  setXattr(join(roots.newRoot, "k"), "user.of-new", Buffer.from("x"));
  await runTestCommand(["setfacl", "-m", "d:u:7:rwx,u:7:rwx", join(roots.newRoot, "k")]);
  await restoreRetained(await save(roots.oldRoot, "/k\n", roots.workDir), roots.newRoot);
  expect([listXattrs(join(roots.newRoot, "k")), listXattrs(join(roots.newRoot, "k/f"))]).toEqual([[], []]);
});

test("what a file system cannot hold is named, and the content is there", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/f = content"]);
  setXattr(join(roots.oldRoot, "k/f"), "user.name", Buffer.from("x"));
  const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
  await runTestCommand(["mount", "-t", "ramfs", "none", roots.newRoot]); // holds no attributes
  try {
    expect(await restoreRetained(archive, roots.newRoot)).toEqual({
      count: 2,
      contentBytes: 7,
      failures: [{ path: "/k/f", reason: "the file system cannot hold its attribute user.name" }],
    });
    expect(await readFile(join(roots.newRoot, "k/f"), "utf8")).toBe("content");
  } finally {
    await runTestCommand(["umount", roots.newRoot]);
  }
});

test("hard links over two file systems become copies, and are named", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["a/f = content", "b/"]);
  await runTestCommand(["ln", join(roots.oldRoot, "a/f"), join(roots.oldRoot, "b/g")]);
  await makeFiles(roots.newRoot, ["b/"]);
  const archive = await save(roots.oldRoot, "/a/f\n/b/g\n", roots.workDir);
  await runTestCommand(["mount", "-t", "tmpfs", "none", join(roots.newRoot, "b")]);
  try {
    const { failures } = await restoreRetained(archive, roots.newRoot);
    expect(failures).toEqual([{ path: "/b/g", reason: "it is a copy: the file system cannot make the hard link" }]);
    expect(await readFile(join(roots.newRoot, "b/g"), "utf8")).toBe("content");
  } finally {
    await runTestCommand(["umount", join(roots.newRoot, "b")]);
  }
});

describe("an archive that is not what was saved:", () => {
  test("one flipped byte of content is found before the file appears", async () => {
    await using roots = await makeRoots();
    await makeFiles(roots.oldRoot, ["k/f = the content of the file"]);
    await makeFiles(roots.newRoot, ["k/f = of the new OS"]);
    const archive = await save(roots.oldRoot, "/k/f\n", roots.workDir);
    const bytes = await readFile(archive.archivePath);
    bytes.write("X", bytes.indexOf("the content"));
    await writeFile(archive.archivePath, bytes);
    const error = await refusal(archive, roots.newRoot);
    expect(error.message).toContain("cannot restore /k/f in the new OS: the archive in RAM no longer holds");
    expect(await readFile(join(roots.newRoot, "k/f"), "utf8")).toBe("of the new OS");
    expect(await readdir(join(roots.newRoot, "k"))).toEqual(["f"]);
  });

  test("a changed index is found before anything is written", async () => {
    await using roots = await makeRoots();
    await makeFiles(roots.oldRoot, ["k/f"]);
    const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
    const text = await readFile(archive.indexPath, "utf8");
    await writeFile(archive.indexPath, text.replace('"mode":"644"', '"mode":"666"'));
    expect((await refusal(archive, roots.newRoot)).message).toContain("the index in RAM no longer holds");
    expect(await readdir(roots.newRoot)).toEqual([]);
  });

  test("an archive that was cut is found", async () => {
    await using roots = await makeRoots();
    await makeFiles(roots.oldRoot, ["k/f = content"]);
    const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
    const file = await open(archive.archivePath, "r+");
    await file.truncate(1024);
    await file.close();
    expect((await refusal(archive, roots.newRoot)).message).toContain("cannot restore /k/f");
  });
});

test("a new OS with a device, a FIFO or a link in place of a file gets the file", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/fifo = x", "k/device = x", "k/loop = x"]);
  await mkdir(join(roots.newRoot, "k"));
  makeNode(join(roots.newRoot, "k/fifo"), 0o010600, 0n);
  makeNode(join(roots.newRoot, "k/device"), 0o020600, 259n);
  await symlink("loop", join(roots.newRoot, "k/loop"));
  setTimes(join(roots.oldRoot, "k/loop"), 5n, 6n);
  await restoreRetained(await save(roots.oldRoot, "/k\n", roots.workDir), roots.newRoot);
  expect(await tree(roots.newRoot)).toEqual(["d k", "f k/device", "f k/fifo", "f k/loop"]);
  expect((await lstat(join(roots.newRoot, "k/loop"), { bigint: true })).mtimeNs).toBe(6n);
  await expect(readlink(join(roots.newRoot, "k/loop"))).rejects.toThrow("EINVAL");
});
