/**
 * The copies that one-shot deployments boot from. A copy of its own, because a machine's read of it must be told from
 * another machine's read of the same configuration.
 *
 * A fresh copy has the access time 1970-01-01. The kernel sets it at the first read: under `relatime` because it is older
 * than the modification time (mount(8)). So the file itself remembers that it was read while nobody was watching, and no
 * clock has to be right for that.
 */

import type { Stats } from "node:fs";
import { lstat, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../../../system/sync-directory.ts";
import type { ConfigurationFile } from "./configurations.ts";
import { type OneShot, oneShotName, parseOneShotName, TEMPORARY_COPY } from "./names.ts";
import { makePublicDirectory, statsIfThere } from "./whole-files.ts";

/** Whether somebody has read a copy since it was made. */
export function wasCopyRead(stats: Stats): boolean {
  return stats.atimeMs !== 0;
}

/**
 * Makes sure that the copy for one boot is there, and returns its name and whether it had to be made. One that was read stays
 * as it is, since its access time is what proves the boot; one that was not is made again where the configuration has changed.
 */
export async function prepareCopy(
  directory: string,
  boot: OneShot,
  source: ConfigurationFile,
  isKnownAsRead: (name: string) => boolean,
): Promise<{ readonly name: string; readonly isNew: boolean }> {
  const name = oneShotName(boot);
  const existing = await statsIfThere(join(directory, name));
  if (existing !== null) {
    const isCurrent = Math.round(existing.mtimeMs) === wholeMs(source.stats) && existing.size === source.stats.size;
    if (isCurrent || wasCopyRead(existing) || isKnownAsRead(name)) return { name, isNew: false };
  }
  await makePublicDirectory(directory);
  await writeCopy(directory, name, source);
  return { name, isNew: existing === null };
}

/** Writes the copy under another name first: neither its half nor our own opening of it is seen by anybody. */
async function writeCopy(directory: string, name: string, source: ConfigurationFile): Promise<void> {
  const temporary = join(directory, TEMPORARY_COPY);
  await rm(temporary, { force: true });
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(source.content);
      // Servers judge by owner and mode whether a file may be given away (in.tftpd: readable by all; dnsmasq: its own).
      const { uid, gid } = await file.stat();
      if (uid !== source.stats.uid || gid !== source.stats.gid) {
        await file.chown(source.stats.uid, source.stats.gid).catch(() => {}); // we are not root: then they are ours
      }
      await file.chmod(source.stats.mode & 0o777);
      await file.utimes(0, wholeMs(source.stats) / 1000);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, name));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // the next copy does it, or the next start
    throw error;
  }
}

/** File times survive a copy in whole milliseconds only. */
function wholeMs(stats: Stats): number {
  return Math.max(0, Math.floor(stats.mtimeMs));
}

/** Removes what no link leads to, and what a process that was killed has left half-made; returns the copies that stay. */
export async function clearCopies(directory: string, linked: ReadonlySet<string>): Promise<string[]> {
  const kept: string[] = [];
  for (const name of await readdir(directory)) {
    if (parseOneShotName(name) !== null && linked.has(name)) kept.push(name);
    else if (parseOneShotName(name) !== null || name === TEMPORARY_COPY) await rm(join(directory, name));
  }
  return kept;
}

/** Tries out whether this file system records reads: with `noatime` it does not. */
export async function recordsReads(directory: string): Promise<boolean> {
  const path = join(directory, TEMPORARY_COPY);
  try {
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile("read me");
      await file.utimes(0, Date.now() / 1000);
    } finally {
      await file.close();
    }
    const before = await lstat(path);
    await readFile(path);
    return !wasCopyRead(before) && wasCopyRead(await lstat(path));
  } finally {
    await rm(path, { force: true });
    await syncDirectory(directory);
  }
}
