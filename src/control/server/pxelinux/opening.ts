/** Opening the directories: that they are what they should be, belong to this process, and hold nothing half-made. */
import { closeSync, constants, openSync } from "node:fs";
import { readdir, readlink, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { ReimageError } from "../../../errors.ts";
import { lockExclusive } from "../../../system/libc.ts";
import { copyOf } from "./apply.ts";
import { clearTemporaryLink, hintFor, type PxelinuxPaths } from "./links.ts";
import { macOfLinkName, ONE_SHOT_DIR } from "./names.ts";
import { recordsReads } from "./one-shot-copies.ts";
import { errnoOf, makePublicDirectory } from "./whole-files.ts";

/** Finds the directories; `pxelinux.cfg` is made where it is missing. */
export async function openPaths(root: string, configurationsDir: string): Promise<PxelinuxPaths> {
  const realRoot = await requireDirectory(root, "the root of the TFTP server");
  const configurations = await requireDirectory(configurationsDir, "the directory of boot configurations");
  if (relative(realRoot, configurations).startsWith("..")) {
    throw new ReimageError("config", `${configurations} is not inside ${realRoot}`, {
      hint: "a TFTP server that is confined to its root cannot follow a link out of it: move the configurations into it",
    });
  }
  const links = join(realRoot, "pxelinux.cfg");
  try {
    await makePublicDirectory(links);
  } catch (cause) {
    throw unwritable(links, cause);
  }
  // It may be a symbolic link itself; the links in it are relative to where it really is.
  return { root: realRoot, links: await realpath(links), configurations, copies: join(configurations, ONE_SHOT_DIR) };
}

async function requireDirectory(path: string, what: string): Promise<string> {
  try {
    await readdir(path);
    return await realpath(path);
  } catch (cause) {
    throw new ReimageError("config", `${what}, ${path}, cannot be read`, {
      cause,
      hint: "create it, or correct the path",
    });
  }
}

/** Keeps other processes away for as long as this one lives, however it ends: flock(2) on the directory itself. */
export function lockDirectory(path: string): Disposable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    lockExclusive(fd, path);
  } catch (cause) {
    closeSync(fd);
    throw new ReimageError("state", `another process keeps ${path}`, {
      cause,
      hint: "only one `reimage serve` may be given this directory; the others share the database without it",
    });
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Clears away what is half-made, and finds out whether access times can be relied on. */
export async function prepareDirectories(paths: PxelinuxPaths): Promise<{ readonly recordsReads: boolean }> {
  try {
    await clearTemporaryLink(paths.links);
    await makePublicDirectory(paths.copies);
    return { recordsReads: await recordsReads(paths.copies) };
  } catch (cause) {
    throw unwritable(paths.copies, cause);
  }
}

/** The names of all copies that a link leads to. */
export async function readLinkedCopies(paths: PxelinuxPaths): Promise<Set<string>> {
  const linked = new Set<string>();
  for (const name of await readdir(paths.links)) {
    if (macOfLinkName(name) === null) continue;
    const text = await readlink(join(paths.links, name)).catch((error: unknown) => {
      if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOENT") return null; // a file, or just gone
      throw error;
    });
    const copy = copyOf(paths, text);
    if (copy !== null) linked.add(copy);
  }
  return linked;
}

/** The error for a directory that cannot be written, before any link was switched. */
export function unwritable(path: string, cause: unknown): ReimageError {
  return new ReimageError("output", `${path} cannot be written; nothing has changed`, {
    cause,
    hint: hintFor(cause),
  });
}
