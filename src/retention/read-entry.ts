/** Reads one file of the old OS, without its content. */
import { type BigIntStats, constants } from "node:fs";
import { open, readlink } from "node:fs/promises";
import { getXattr, listXattrs } from "../system/libc.ts";
import { isStoredAcl } from "./acl.ts";
import type { FileType, SelectedEntry } from "./entry.ts";
import { readExtents, sumExtents } from "./extents.ts";
import { errnoOf } from "./file-io.ts";

const O_NOATIME = 0o1000000;

/** Where an entry is found and where it goes. */
export interface EntryPlace {
  readonly path: Buffer;
  readonly realPath: Buffer;
  readonly restorePath: Buffer;
  readonly isParent: boolean;
  readonly linkOf: Buffer | null;
}

/** The type of a file that can be retained, or null (a socket). */
export function typeOf(stats: BigIntStats): FileType | null {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  if (stats.isCharacterDevice()) return "character-device";
  if (stats.isBlockDevice()) return "block-device";
  return null;
}

/** Reads the metadata of the file at `absolutePath` (on this machine). `stats` is what lstat(2) said about it. */
export async function readEntry(
  absolutePath: Buffer,
  stats: BigIntStats,
  type: FileType,
  place: EntryPlace,
): Promise<SelectedEntry> {
  const sizeBytes = stats.isFile() ? Number(stats.size) : 0;
  const isLink = place.linkOf !== null;
  return {
    ...place,
    type: isLink ? "link" : type,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    sizeBytes,
    linkCount: Number(stats.nlink),
    device: stats.isCharacterDevice() || stats.isBlockDevice() ? stats.rdev : 0n,
    accessedNs: stats.atimeNs,
    modifiedNs: stats.mtimeNs,
    xattrs: readXattrs(absolutePath),
    symlinkTarget: type === "symlink" ? await readlink(absolutePath, { encoding: "buffer" }) : null,
    ...(type === "file" && !isLink ? await readDataSize(absolutePath, stats, sizeBytes) : nothing),
  };
}

function readXattrs(absolutePath: Buffer): Map<string, Buffer> {
  const names = listXattrs(absolutePath).filter((name) => !isStoredAcl(name));
  return new Map(names.map((name) => [name, getXattr(absolutePath, name)]));
}

/** Opens a file of the old OS for reading, without changing its access time where that is allowed. */
export async function openRetained(absolutePath: Buffer): Promise<Awaited<ReturnType<typeof open>>> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return await open(absolutePath, flags | O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error; // O_NOATIME is for the owner and root
    return await open(absolutePath, flags);
  }
}

const nothing = { dataBytes: 0, extentCount: 0 };

async function readDataSize(
  absolutePath: Buffer,
  stats: BigIntStats,
  sizeBytes: number,
): Promise<{ dataBytes: number; extentCount: number }> {
  const BLOCK = 512n; // the unit of st_blocks, stat(2)
  if (stats.blocks * BLOCK >= stats.size) return { dataBytes: sizeBytes, extentCount: 1 };
  const file = await openRetained(absolutePath);
  try {
    const extents = readExtents(file.fd, sizeBytes);
    return { dataBytes: sumExtents(extents), extentCount: extents.length };
  } finally {
    await file.close();
  }
}
