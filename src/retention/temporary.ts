/** Files and directories appear whole: they are made under a temporary name in their directory, then renamed. */
import type { Stats } from "node:fs";
import { chmod, lstat, mkdir, rename, rmdir, unlink } from "node:fs/promises";
import { errnoOf, succeeds } from "./file-io.ts";

/** What a file is called until it is whole. One name a directory is enough, and a rerun finds what a crash left. */
export const TEMPORARY_NAME = ".reimage-temporary";

/** Puts what `create` makes at `temporary` in the place of `path`, which may be a file or an empty directory. */
export async function replaceEntry(
  temporary: Buffer,
  path: Buffer,
  create: (temporary: Buffer, existing: Buffer) => Promise<void>,
): Promise<void> {
  await removeTemporary(temporary); // what a crash left
  try {
    await create(temporary, path);
    const existing = await tryLstat(path);
    if (existing?.isDirectory() === true && !(await succeeds(rmdir(path), "ENOTEMPTY", "EEXIST"))) {
      throw new Error("a directory that is not empty is in its place");
    }
    await rename(temporary, path);
  } finally {
    // After a failure; and after rename(2) of two hard links of one file, which succeeds and leaves both names.
    await removeTemporary(temporary);
  }
}

/** Makes a directory (mode 0755), so that it does not appear at `path` before `prepare` has given it its metadata. */
export async function makeDirectory(
  temporary: Buffer,
  path: Buffer,
  prepare: (temporary: Buffer) => Promise<void> | undefined,
): Promise<void> {
  await removeTemporary(temporary);
  await mkdir(temporary);
  await chmod(temporary, 0o755); // mkdir's mode is subject to the umask
  await prepare(temporary);
  await rename(temporary, path);
}

/** lstat(2), or null where nothing is there. */
export async function tryLstat(path: Buffer): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}

async function removeTemporary(temporary: Buffer): Promise<void> {
  const found = await tryLstat(temporary);
  if (found !== null) await (found.isDirectory() ? rmdir(temporary) : unlink(temporary));
}
