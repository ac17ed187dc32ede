/** Saves and restores small trees for the retention tests. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { archiveRetained } from "../../src/retention/archive.ts";
import type { RetainedArchive } from "../../src/retention/entry.ts";
import { parseRetentionList } from "../../src/retention/list.ts";
import { selectRetained } from "../../src/retention/select.ts";
import { temporaryDirectory } from "./loop-device.ts";

/** Two roots, `old` and `new`, and a directory `work` for the archive, that go away together. */
export async function makeRoots() {
  const temporary = await temporaryDirectory();
  const [oldRoot, newRoot, workDir] = ["old", "new", "work"].map((name) => join(temporary.dir, name));
  if (oldRoot === undefined || newRoot === undefined || workDir === undefined) throw new Error("three names");
  for (const dir of [oldRoot, newRoot, workDir]) await mkdir(dir);
  return {
    dir: temporary.dir,
    oldRoot,
    newRoot,
    workDir,
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

/** Makes files below `root`: `path` (with its path as content), `path/`, `path -> target`, `path = content`. */
export async function makeFiles(root: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const [path = "", target] = file.split(" -> ");
    const [name = "", content] = path.split(" = ");
    const absolute = join(root, name);
    await mkdir(join(absolute, ".."), { recursive: true });
    if (target !== undefined) await symlink(target, absolute);
    else if (name.endsWith("/")) await mkdir(absolute, { recursive: true });
    else await writeFile(absolute, content ?? name);
  }
}

/** Selects and archives what `list` names below `oldRoot`. */
export async function save(oldRoot: string, list: string, workDir: string): Promise<RetainedArchive> {
  const selection = await selectRetained(oldRoot, parseRetentionList(list, "list"));
  return await archiveRetained(selection, oldRoot, join(workDir, "retained.tar"));
}
