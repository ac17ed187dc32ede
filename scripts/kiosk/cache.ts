/** Build results that are expensive to make, kept in build/cache/ under a name that holds the hash of their recipe. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { $ } from "zx";

export const cacheDirectory = resolve("build/cache");
export const scriptsDirectory = import.meta.dirname;

/** zx with the administrator's folders on PATH (mke2fs, sfdisk, debugfs), which an ordinary user's PATH may lack. */
export const shell = $({
  quiet: true,
  env: { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin` },
});

/** A short digest of texts and of the files of this folder that are named. */
export function recipeHash(texts: readonly string[], files: readonly string[] = []): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(`${text}\0`);
  for (const file of files) hash.update(readFileSync(join(scriptsDirectory, file)));
  return hash.digest("hex").slice(0, 12);
}

/**
 * Returns the folder `<name>-<hash>` of the cache; `make` fills it first where it does not exist. Older results of the
 * same name are removed. A folder appears only when it is complete.
 */
export async function cached(name: string, hash: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheDirectory, `${name}-${hash}`);
  const making = underWay.get(folder) ?? makeOnce(name, folder, make);
  underWay.set(folder, making);
  return await making;
}

/** By folder: who asks twice at the same time gets the same result. */
const underWay = new Map<string, Promise<string>>();

async function makeOnce(name: string, folder: string, make: (folder: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  mkdirSync(cacheDirectory, { recursive: true });
  for (const other of readdirSync(cacheDirectory)) {
    const found = new RegExp(`^${name}-[0-9a-f]{12}(\\.(\\d+)\\.partial)?$`).exec(other);
    if (found === null || (found[2] !== undefined && existsSync(`/proc/${found[2]}`))) continue; // somebody is making it
    rmSync(join(cacheDirectory, other), { recursive: true, force: true });
  }
  const partial = `${folder}.${process.pid}.partial`;
  mkdirSync(partial);
  await make(partial);
  // Another process may have been quicker.
  await shell({ nothrow: true })`mv --no-target-directory ${partial} ${folder}`;
  rmSync(partial, { recursive: true, force: true });
  if (!existsSync(folder)) throw new Error(`${folder} could not be made`);
  return folder;
}
