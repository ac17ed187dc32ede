/** Files that are whole or as they were, whenever the power is cut: written beside, synced, renamed, the directory synced. */

import { constants } from "node:fs";
import { chmod, chown, type FileHandle, open, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { getXattr, listXattrs, setXattr } from "../system/libc.ts";
import { syncDirectory } from "../system/sync-directory.ts";
import { isMissing } from "./missing.ts";

/**
 * Replaces or creates a file. Mode, owner and extended attributes (SELinux) of one that is there are kept.
 * @param write fills the new file, from its beginning
 * @param mode of a file that is not there yet
 */
export async function replaceFile(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  mode = 0o600,
): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.reimage-new`);
  await unlink(temporary).catch(ignoreMissing); // left by a power cut
  const before = await stat(path).catch(ignoreMissing);
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      await write(file);
      if (before === undefined) await file.chmod(mode);
      else await likeBefore(path, temporary, before);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {}); // the first failure is the reason
    throw error;
  }
  await syncDirectory(directory);
}

/** As replaceFile, with content that is in memory. */
export async function replaceContent(path: string, content: Uint8Array | string, mode = 0o600): Promise<void> {
  await replaceFile(path, async (file) => await file.writeFile(content), mode);
}

/** Removes a file; nothing happens where there is none. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function likeBefore(
  path: string,
  copy: string,
  before: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> {
  const own = await stat(copy);
  // FAT knows neither owners nor modes, and refuses what would change them.
  if (own.uid !== before.uid || own.gid !== before.gid) await chown(copy, before.uid, before.gid);
  if (own.mode !== before.mode) await chmod(copy, before.mode & 0o7777);
  for (const name of listXattrs(path)) setXattr(copy, name, getXattr(path, name));
}

function ignoreMissing(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
