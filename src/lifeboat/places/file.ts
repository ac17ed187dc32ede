/** The lifeboat in a file on a mounted old file system. */

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type BlockDevice, openBlockDevice } from "../../disk/block-device.ts";
import { probeFileSystem } from "../../disk/find-filesystem.ts";
import { identityOf } from "../../disk/inventory.ts";
import { devicePath } from "../../disk/parse-disk.ts";
import { describeError } from "../../errors.ts";
import { lockExclusive } from "../../system/libc.ts";
import { syncDirectory } from "../../system/sync-directory.ts";
import { readDeviceSegments } from "./device-segments.ts";
import { findMove } from "./file-mapping.ts";
import { FilePlace } from "./file-place.ts";
import { removeLeftover, removePlaceFile } from "./file-release.ts";
import { type FileRoom, type FileRoomRequest, refuseFileSystem, takeRoom } from "./file-room.ts";
import { inodeFlags, readInodeFlags } from "./inode-flags.ts";
import { type OldFileSystem, readOldFileSystems } from "./old-file-systems.ts";
import type { Attempt, ClaimedPlace, PlaceRequest } from "./place.ts";
import { proveAddresses } from "./prove-addresses.ts";

/** In the top directory of the file system. */
export const placeFileName = ".reimage-lifeboat";

/** A file on the first old file system that will do, the root before others. Of those that will not, none is changed. */
export async function claimFile(request: PlaceRequest): Promise<Attempt> {
  const refusals: string[] = [];
  for (const fileSystem of await readOldFileSystems(request.disk)) {
    const answer = await claimOn(fileSystem, request).catch(describeError);
    if (typeof answer !== "string") return { place: answer };
    refusals.push(`a file on ${fileSystem.mountPoint} (${fileSystem.type}): ${answer}`);
  }
  return { refusals: refusals.length > 0 ? refusals : ["a file: no file system of the disk is mounted"] };
}

async function claimOn(
  fileSystem: OldFileSystem,
  { disk, forbidden, needs }: PlaceRequest,
): Promise<ClaimedPlace | string> {
  if (fileSystem.refusal !== null) return fileSystem.refusal;
  const { mountPoint } = fileSystem;
  const device = await readDeviceSegments(fileSystem.device, disk);
  const request = { disk, mountPoint, device, forbidden, needs };
  const path = join(mountPoint, placeFileName);
  await removeLeftover(path);
  const refusal = await refuseFileSystem(request);
  if (refusal !== null) return refusal;
  await using stack = new AsyncDisposableStack();
  const raw = stack.use(await openBlockDevice(disk.path, { write: false, exclusive: false }));
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = stack.use(await open(path, flags, 0o600));
  stack.defer(() => removePlaceFile(path));
  lockExclusive(file.fd, path); // another process does not take it for a leftover
  const found = await fillFile(file, raw, fileSystem, request);
  if (typeof found === "string") return found;
  await syncDirectory(mountPoint);
  const place = new FilePlace(file, raw, disk, fileSystem.device, found, {
    kind: "file",
    disk: identityOf(disk),
    ...found.room,
    path,
    inode: (await file.stat()).ino,
    mountPoint,
    fileSystemUuid: (await probeFileSystem(devicePath(fileSystem.device)))?.uuid ?? null,
  });
  stack.move();
  return place;
}

/** Makes the room and makes sure of it. @returns or why it will not do. */
async function fillFile(
  file: FileHandle,
  raw: BlockDevice,
  { device }: OldFileSystem,
  request: FileRoomRequest,
): Promise<FileRoom | string> {
  const bad = inodeFlags.compressed | inodeFlags.encrypted | inodeFlags.journalData;
  if ((readInodeFlags(file.fd) & bad) !== 0) return "its files are compressed, encrypted or journalled (lsattr)";
  const found = await takeRoom(file, request);
  if (typeof found === "string") return found;
  const { segments, room } = found;
  const moved = await findMove(file.fd, device, request.disk, segments, [room.boot, ...room.bulk]);
  return moved ?? (await proveAddresses(file, raw, found.segments)) ?? found;
}
