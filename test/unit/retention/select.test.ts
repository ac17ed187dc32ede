import { expect, test } from "bun:test";
import { link, mkdir, open, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import type { RetainedSelection } from "../../../src/retention/entry.ts";
import { parseRetentionList } from "../../../src/retention/list.ts";
import { displayPath } from "../../../src/retention/path.ts";
import { selectRetained } from "../../../src/retention/select.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

/** Makes files (`path` or `path/` for a directory, `path -> target` for a link) and selects from them. */
async function select(files: readonly string[], list: string): Promise<RetainedSelection> {
  await using temporary = await temporaryDirectory();
  for (const file of files) {
    const [path = "", target] = file.split(" -> ");
    const absolute = join(temporary.dir, path);
    await mkdir(join(absolute, ".."), { recursive: true });
    if (target !== undefined) await symlink(target, absolute);
    else if (path.endsWith("/")) await mkdir(absolute, { recursive: true });
    else await writeFile(absolute, path);
  }
  return await selectRetained(temporary.dir, parseRetentionList(list, "list"));
}

/** Type initial (lower case for a directory that is only a parent) and path, and where it goes if that is elsewhere. */
function show(selection: RetainedSelection): string[] {
  return selection.entries.map((entry) => {
    const initial = entry.type.charAt(0);
    const path = displayPath(entry.path);
    const moved = entry.restorePath.equals(entry.path) ? "" : ` => ${displayPath(entry.restorePath)}`;
    return `${entry.isParent ? initial : initial.toUpperCase()} ${path}${moved}`;
  });
}

async function refusal(files: readonly string[], list: string): Promise<ReimageError> {
  try {
    await select(files, list);
  } catch (error) {
    if (error instanceof ReimageError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("a directory means everything below it, parents come first, order is bytewise", async () => {
  const selection = await select(["a/b/z", "a/b/c/d", "a/b/empty/", "a/other", "a/b.x", "é/f"], "/é/f\n/a/b\n/a/b/c\n");
  expect(show(selection)).toEqual([
    "d /a",
    "D /a/b",
    "D /a/b/c",
    "F /a/b/c/d",
    "D /a/b/empty",
    "F /a/b/z",
    "d /é",
    "F /é/f",
  ]);
  expect({ ...selection, entries: 0, totalBytes: 0 }).toEqual({
    entries: 0,
    totalBytes: 0,
    missing: [],
    warnings: [],
    count: 6,
    contentBytes: "a/b/z".length + "a/b/c/d".length + Buffer.byteLength("é/f"),
  });
});

test("patterns, and ** through any number of directories", async () => {
  const files = ["s/k1", "s/k2.pub", "s/.k", "s/d/k1", "s/d/e/k1/below", "s/d/e/x"];
  expect(show(await select(files, "/s/k?\n"))).toEqual(["d /s", "F /s/k1"]);
  expect(show(await select(files, "/s/*k*\n"))).toEqual(["d /s", "F /s/.k", "F /s/k1", "F /s/k2.pub"]);
  expect(show(await select(files, "/s/**/k1\n"))).toEqual([
    "d /s",
    "d /s/d",
    "d /s/d/e",
    "D /s/d/e/k1",
    "F /s/d/e/k1/below",
    "F /s/d/k1",
    "F /s/k1",
  ]);
});

test("what matches nothing is named, in the words of the list", async () => {
  const selection = await select(["a"], "/a\n/b \n/c/*.key\n@move /d -> /e\n@exclude /nothing\n");
  expect(selection.missing).toEqual(["/b ", "/c/*.key", "/d"]);
});

test("@exclude wins over everything below it", async () => {
  const files = ["a/cache/x", "a/b/y.tmp", "a/b/y"];
  const selection = await select(files, "/a\n/a/cache/x\n@exclude /a/cache\n@exclude /a/**/*.tmp\n");
  expect(show(selection)).toEqual(["D /a", "D /a/b", "F /a/b/y"]);
  expect(selection.missing).toEqual(["/a/cache/x"]);
});

test("@required that is absent is refused; all of them are named", async () => {
  const error = await refusal(["a"], "@required /a\n@required /b\n@required /c/*\n");
  expect(error.code).toBe("required-file");
  expect(error.message).toEndWith("requires: /b (list:2), /c/* (list:3)");
  expect(show(await select(["a"], "@required /a\n"))).toEqual(["F /a"]);
});

test("@move: the longest one counts, and a directory takes what is below it along", async () => {
  const selection = await select(["o/a", "o/d/b"], "@move /o -> /n/x\n@move /o/d -> /m\n");
  expect(show(selection)).toEqual(["D /o => /n/x", "F /o/a => /n/x/a", "D /o/d => /m", "F /o/d/b => /m/b"]);
  const clash = await refusal(["a", "b"], "/b\n@move /a -> /b\n");
  expect([clash.code, clash.message]).toEqual(["retention-list", "/a and /b would both be restored to /b"]);
});

test("links are retained as links, and what they point to is not", async () => {
  const files = ["e/file -> ../t/file", "e/dir -> /t", "e/none -> /none", "e/self -> self", "t/file"];
  const selection = await select(files, "/e\n/e/dir\n");
  expect(show(selection)).toEqual(["D /e", "S /e/dir", "S /e/file", "S /e/none", "S /e/self"]);
  expect(selection.warnings).toEqual([
    "/e/dir is a symbolic link to the directory /t, which is not on the retention list",
  ]);
  expect((await select(files, "/e\n/e/dir\n/t\n")).warnings).toEqual([]);
});

test("a path that leads through a link is found inside the root and keeps its listed name", async () => {
  const files = ["run/x/y", "var/run -> /run", "var/rel -> ../../../../run", "var/out -> /no/such", "var/self -> self"];
  const list = "/var/run/x\n/var/rel/x/y\n/var/out/x\n/var/self/x\n";
  const selection = await select(files, list);
  expect(show(selection)).toEqual([
    "d /var",
    "d /var/rel",
    "d /var/rel/x",
    "F /var/rel/x/y",
    "d /var/run",
    "D /var/run/x",
    "F /var/run/x/y",
  ]);
  expect(selection.entries.map((entry) => displayPath(entry.realPath)).at(-1)).toBe("/run/x/y");
  expect(selection.missing).toEqual(["/var/out/x", "/var/self/x"]);
  expect(show(await select(files, "/var/run/x\n@exclude /run/x/y\n"))).toEqual([
    "d /var",
    "d /var/run",
    "D /var/run/x",
  ]);
});

test("** and links that lead in a circle come to an end", async () => {
  const selection = await select(["a/b/up -> ..", "a/b/f", "a/all -> /"], "/**/f\n/a/**/up/**/f\n");
  expect(show(selection)).toContain("F /a/b/f");
});

test("further names of a file are links to the first; sockets and kernel file systems are warned about", async () => {
  await using temporary = await temporaryDirectory();
  const at = (name: string) => join(temporary.dir, name);
  await writeFile(at("a"), "content");
  await link(at("a"), at("b"));
  await symlink("x", at("l"));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(at("s"), resolve));
  try {
    const list = "/a\n/b\n/s\n/l\n";
    const selection = await selectRetained(temporary.dir, parseRetentionList(list, "list"));
    expect(show(selection)).toEqual(["F /a", "L /b", "S /l"]);
    expect(selection.entries[1]?.linkOf).toEqual(Buffer.from("/a"));
    expect(selection.contentBytes).toBe(7);
    expect(selection.warnings).toEqual(["/s is a socket and is not retained"]);
    expect(selection.missing).toEqual(["/s"]);
  } finally {
    server.close();
  }
  const ofMachine = await selectRetained("/", parseRetentionList("/proc\n/proc/1/status\n", "list"));
  expect([ofMachine.count, ofMachine.missing.length]).toEqual([0, 2]);
  expect(ofMachine.warnings[0]).toBe("/proc is a proc file system and is not retained");
});

test("a sparse file counts with what it stores", async () => {
  await using temporary = await temporaryDirectory();
  const file = await open(join(temporary.dir, "sparse"), "wx");
  await file.truncate(2 ** 40);
  await file.write(Buffer.alloc(4096, 1), 0, 4096, 2 ** 39);
  await file.close();
  const selection = await selectRetained(temporary.dir, parseRetentionList("/sparse\n", "list"));
  expect(selection.contentBytes).toBe(4096);
  expect(selection.totalBytes).toBeLessThan(64 * 1024);
});
