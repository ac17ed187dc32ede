/** Removing the lifeboat's file, and whether it is still as it was left. */

import { constants } from "node:fs";
import { type FileHandle, open, readFile, truncate, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { probeFileSystem } from "../../disk/find-filesystem.ts";
import { parseMountInfo } from "../../disk/mounts.ts";
import { devicePath } from "../../disk/parse-disk.ts";
import { ReimageError } from "../../errors.ts";
import { lockExclusive, SystemCallError } from "../../system/libc.ts";
import { syncDirectory } from "../../system/sync-directory.ts";
import { blockName, readDeviceSegments } from "./device-segments.ts";
import { mapFile } from "./file-mapping.ts";
import { findPlaceDisk } from "./find-disk.ts";
import { inodeFlags, readInodeFlags, setImmutable } from "./inode-flags.ts";
import type { FileUndo } from "./place.ts";
import { coversRegions } from "./region-sets.ts";
import { lowerRegions } from "./segments.ts";

/**
 * Removes the file. Where it is gone already, nothing is done.
 * @throws ReimageError `lifeboat` where the file system is not mounted where it was, or another file has the name.
 */
export async function releaseFile(undo: FileUndo): Promise<void> {
  await requireMounted(undo);
  const found = await openPlaceFile(undo.path);
  if (found === null) return;
  const { ino } = await found.stat().finally(() => found.close());
  if (ino !== undo.inode) {
    throw new ReimageError("lifeboat", `${undo.path} is another file than the one that was made for the lifeboat`, {
      hint: "it is left as it is; remove it by hand if nobody needs it (chattr -i, rm)",
    });
  }
  await removePlaceFile(undo.path);
}

/** What has happened to it, in words; null where it is as it was left. */
export async function checkFile(undo: FileUndo): Promise<string | null> {
  const disk = await findPlaceDisk(undo.disk);
  const device = await requireMounted(undo);
  const file = await openPlaceFile(undo.path);
  if (file === null) return `${undo.path} is gone`;
  try {
    if ((await file.stat()).ino !== undo.inode) return `${undo.path} is another file now`;
    if ((readInodeFlags(file.fd) & inodeFlags.immutable) === 0) return `${undo.path} was made mutable (chattr -i)`;
    const { segments, trouble } = mapFile(file.fd, await readDeviceSegments(device, disk), false);
    if (trouble !== null) return `the data of ${undo.path} is ${trouble}`;
    const isThere = coversRegions(lowerRegions(segments), [undo.boot, ...undo.bulk]);
    return isThere ? null : `the data of ${undo.path} was moved or cut off`;
  } finally {
    await file.close();
  }
}

/** Removes a file of that name, immutable or not, for good. */
export async function removePlaceFile(path: string): Promise<void> {
  const file = await openPlaceFile(path);
  if (file === null) return;
  try {
    if ((readInodeFlags(file.fd) & inodeFlags.immutable) !== 0) setImmutable(file.fd, false);
    await truncate(path, 0); // xfs gives back what is merely unlinked only a while later
    await unlink(path);
  } finally {
    await file.close();
  }
  await syncDirectory(dirname(path));
}

/**
 * Removes what a killed process has left.
 * @throws ReimageError `lifeboat` where it is sealed, hence the lifeboat of a machine that is armed, or somebody works on it.
 */
export async function removeLeftover(path: string): Promise<void> {
  const file = await openPlaceFile(path);
  if (file === null) return;
  try {
    if ((readInodeFlags(file.fd) & inodeFlags.immutable) !== 0) {
      throw new ReimageError("lifeboat", `${path} is there and sealed, so this machine is armed already`, {
        hint: "disarm it first: reimage disarm",
      });
    }
    lockExclusive(file.fd, path);
  } catch (error) {
    if (!(error instanceof SystemCallError) || !["EWOULDBLOCK", "EAGAIN"].includes(error.code)) throw error;
    throw new ReimageError("lifeboat", `${path} is being written by another reimage at this moment`);
  } finally {
    await file.close();
  }
  await removePlaceFile(path);
}

/** Null where there is none. @throws ReimageError `lifeboat` where it is no regular file of root. */
async function openPlaceFile(path: string): Promise<FileHandle | null> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (file === null) return null;
  const status = await file.stat();
  if (status.isFile() && status.uid === 0) return file;
  await file.close();
  throw new ReimageError("lifeboat", `${path} is not a file that reimage has made`, {
    hint: "look what it is, and move it away",
  });
}

/** The device, as /sys/class/block names it, of the file system that is mounted where it was. */
async function requireMounted(undo: FileUndo): Promise<string> {
  const mounts = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
  const mount = mounts.findLast(({ mountPoint }) => mountPoint === undo.mountPoint);
  const device = mount === undefined ? null : await blockName(mount.deviceNumber).catch(() => null);
  const uuid = device === null ? null : ((await probeFileSystem(devicePath(device)))?.uuid ?? null);
  if (device !== null && uuid === undo.fileSystemUuid) return device;
  throw new ReimageError("lifeboat", `the file system that holds ${undo.path} is not mounted on ${undo.mountPoint}`, {
    hint: `mount it there (UUID ${undo.fileSystemUuid ?? "unknown"}), and try again`,
  });
}
