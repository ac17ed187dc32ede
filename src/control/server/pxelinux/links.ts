/** The symbolic links in pxelinux.cfg: what they are now, and switching them all or not at all. */

import { readdir, readlink, realpath, rename, rm, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ReimageError } from "../../../errors.ts";
import { syncDirectory } from "../../../system/sync-directory.ts";
import type { ConfigurationFile } from "./configurations.ts";
import { macOfLinkName, parseOneShotName, TEMPORARY_LINK } from "./names.ts";
import { errnoOf, statsIfThere } from "./whole-files.ts";

/** The directories, as realpath(3) has them. */
export interface PxelinuxPaths {
  /** What the TFTP server serves. */
  readonly root: string;
  /** `pxelinux.cfg` in it. */
  readonly links: string;
  readonly configurations: string;
  /** Where the copies for one-shot deployments lie. */
  readonly copies: string;
}

/** What a MAC boots. */
export type PxeBoot =
  | { readonly kind: "configuration"; readonly configuration: string }
  | { readonly kind: "one-shot"; readonly configuration: string; readonly bootId: string }
  /** Not a symbolic link: a human put it there. It is never overwritten. */
  | { readonly kind: "file" }
  /** A link that leads to no configuration; PXELINUX goes on to the next name that it knows, in the end `default`. */
  | { readonly kind: "elsewhere"; readonly target: string };

/** One name in pxelinux.cfg that stands for a MAC. */
export interface PxeEntry {
  readonly mac: string;
  readonly path: string;
  readonly boots: PxeBoot;
}

/** Reads every link. Links that a human or PXE Pilot made (absolute, or through another link) are understood too. */
export async function readEntries(
  paths: PxelinuxPaths,
  configurations: readonly ConfigurationFile[],
): Promise<PxeEntry[]> {
  const byPath = new Map(configurations.map(({ path, name }) => [path, name]));
  const entries: PxeEntry[] = [];
  for (const name of (await readdir(paths.links)).sort()) {
    const mac = macOfLinkName(name);
    if (mac === null) continue;
    const path = join(paths.links, name);
    entries.push({ mac, path, boots: await readBoot(paths, byPath, path) });
  }
  return entries;
}

async function readBoot(paths: PxelinuxPaths, byPath: ReadonlyMap<string, string>, path: string): Promise<PxeBoot> {
  const text = await readLink(path);
  if (text === null) return { kind: "file" };
  let end = await resolveTarget(paths, text);
  // A further MAC of a host leads to the link of its first MAC.
  if (dirname(end) === paths.links && macOfLinkName(basename(end)) !== null) {
    const next = await readLink(end).catch(() => null);
    if (next === null) return { kind: "elsewhere", target: text };
    end = await resolveTarget(paths, next);
  }
  const configuration = byPath.get(end);
  if (configuration !== undefined) return { kind: "configuration", configuration };
  const copy = dirname(end) === paths.copies ? parseOneShotName(basename(end)) : null;
  if (copy !== null && (await statsIfThere(end)) !== null) {
    return { kind: "one-shot", configuration: copy.configuration, bootId: copy.bootId };
  }
  return { kind: "elsewhere", target: text };
}

/** Where the text of a link leads; an absolute one also as a server sees it that is confined to the root. */
async function resolveTarget(paths: PxelinuxPaths, text: string): Promise<string> {
  const candidates = text.startsWith("/") ? [text, join(paths.root, text)] : [resolve(paths.links, text)];
  for (const candidate of candidates) {
    const directory = await realpath(dirname(candidate)).catch(() => null);
    if (directory !== null) return join(directory, basename(candidate));
  }
  return text;
}

/** One link that is to lead somewhere else. `to` is the text of the link; null: there is to be none. */
export interface LinkChange {
  readonly mac: string;
  readonly path: string;
  readonly from: string | null;
  readonly to: string | null;
}

/**
 * The text of the link at `path`; null where nothing is there.
 * @throws ReimageError `config` where something else than a link is there.
 */
export async function requireLinkOrNothing(path: string): Promise<string | null> {
  if ((await statsIfThere(path)) === null) return null;
  const text = await readLink(path);
  if (text !== null) return text;
  throw new ReimageError("config", `${path} is not a symbolic link: somebody has put it there by hand`, {
    hint: "it is left alone; move it away (for example into the directory of configurations) and deploy again",
  });
}

async function readLink(path: string): Promise<string | null> {
  try {
    return await readlink(path);
  } catch (error) {
    if (errnoOf(error) === "EINVAL") return null; // not a symbolic link
    throw error;
  }
}

/**
 * Makes all changes, or none: where one fails, those made before it are taken back. A reader sees, for every link, what was
 * there before or what is there after. They are on the disk when this returns.
 * @throws ReimageError `output` naming the link that failed, and what could not be taken back.
 */
export async function switchLinks(directory: string, changes: readonly LinkChange[]): Promise<void> {
  const done: LinkChange[] = [];
  try {
    for (const change of changes) {
      await requireLinkOrNothing(change.path); // a file may have been put there since it was looked at
      await placeLink(directory, change.path, change.to);
      done.push(change);
    }
    await syncDirectory(directory);
  } catch (cause) {
    const stuck = await takeBack(directory, done);
    if (cause instanceof ReimageError && stuck.length === 0) throw cause;
    const state = stuck.length === 0 ? "nothing has changed" : `still switched: ${stuck.join(", ")}`;
    const failed = changes[done.length]?.path ?? directory;
    throw new ReimageError("output", `${failed} cannot be switched; ${state}`, { cause, hint: hintFor(cause) });
  }
}

/** What to do about a directory that cannot be written. */
export function hintFor(cause: unknown): string {
  const errno = errnoOf(cause);
  if (errno === "ENOSPC" || errno === "EDQUOT") return "make room on the file system of the TFTP directory";
  if (errno === "EROFS") return "the file system of the TFTP directory is mounted read-only";
  if (errno === "EACCES" || errno === "EPERM") return "give the user of `reimage serve` the right to write there";
  return "see what the system says, and deploy again";
}

async function takeBack(directory: string, done: readonly LinkChange[]): Promise<string[]> {
  const stuck: string[] = [];
  for (const { mac, path, from } of done.toReversed()) {
    await placeLink(directory, path, from).catch(() => stuck.push(mac));
  }
  if (done.length > 0) await syncDirectory(directory).catch(() => {}); // the first failure is what is reported
  return stuck;
}

/** symlink(2) under another name, then rename(2) over the old one: at no instant is there none. */
async function placeLink(directory: string, path: string, to: string | null): Promise<void> {
  if (to === null) {
    await unlink(path).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT") throw error;
    });
    return;
  }
  const temporary = join(directory, TEMPORARY_LINK);
  await clearTemporaryLink(directory);
  await symlink(to, temporary);
  try {
    await rename(temporary, path);
  } catch (error) {
    await clearTemporaryLink(directory).catch(() => {}); // the next switch does it, or the next start
    throw error;
  }
}

/** Removes the link that a process that was killed had made and not yet renamed. */
export async function clearTemporaryLink(directory: string): Promise<void> {
  await rm(join(directory, TEMPORARY_LINK), { force: true });
}
