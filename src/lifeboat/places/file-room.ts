/** Finds room for the lifeboat in a file: by letting the file system give it blocks until enough of them lie right. */
import { type FileHandle, statfs } from "node:fs/promises";
import type { Disk } from "../../disk/disk.ts";
import type { Region } from "../../image/regions.ts";
import { formatBytes } from "../../report/format.ts";
import { bootAlignmentBytes, chooseRegions, describeShortage, type Room, usableRegions } from "./choose-regions.ts";
import { growFile, mapFile, shrinkFile, writeZeros } from "./file-mapping.ts";
import type { PlaceNeeds } from "./place.ts";
import { lowerRegions, type Segment, segmentsWithin, touchedBlocks } from "./segments.ts";

/** Where the file system lies, and what the lifeboat needs. */
export interface FileRoomRequest {
  readonly disk: Disk;
  readonly mountPoint: string;
  readonly device: readonly Segment[];
  readonly forbidden: readonly Region[];
  readonly needs: PlaceNeeds;
}

/** Room in a file whose other blocks were given back, and where the bytes of the room are. */
export interface FileRoom {
  readonly room: Room;
  /** File → disk, of the room alone. */
  readonly segments: readonly Segment[];
}

/** What the old OS is left with while the file is at its largest: 5 %, and no more than 64 MiB. */
const reserveBytes = 64 << 20;
const reserveShare = 0.05;

/** Why the file system cannot have the room, however its free blocks lie; null where it may. Nothing is changed. */
export async function refuseFileSystem(request: FileRoomRequest): Promise<string | null> {
  const choice = chooseRegions(outside(request, request.device), request.needs);
  if ("shortage" in choice) return `outside of the new image: ${describeShortage(choice.shortage)}`;
  const limitBytes = await mayTakeBytes(request.mountPoint);
  const neededBytes = request.needs.bootBytes + request.needs.bulkBytes;
  return limitBytes >= neededBytes ? null : describeFree(neededBytes, limitBytes);
}

/**
 * Takes ever more blocks for an empty file, until those that the new image does not write suffice; gives the others back,
 * and writes the rest once. Most file systems give the lowest blocks first, which is where images lie.
 * @returns or why there is no room.
 */
export async function takeRoom(file: FileHandle, request: FileRoomRequest): Promise<FileRoom | string> {
  const limitBytes = await mayTakeBytes(request.mountPoint);
  const neededBytes = request.needs.bootBytes + request.needs.bulkBytes;
  let sizeBytes = 0;
  let wantedBytes = neededBytes + 2 * bootAlignmentBytes;
  for (;;) {
    wantedBytes = Math.min(wantedBytes, limitBytes);
    const isRoomLeft = await growFile(file, sizeBytes, wantedBytes);
    sizeBytes = isRoomLeft ? wantedBytes : (await file.stat()).size;
    const { segments, trouble } = mapFile(file.fd, request.device, true);
    if (trouble !== null) return `its files are ${trouble}`;
    const choice = chooseRegions(outside(request, segments), request.needs);
    if ("room" in choice) return await keepRoom(file, request, choice.room, segments, Math.max(sizeBytes, wantedBytes));
    if (!isRoomLeft || wantedBytes === limitBytes) {
      return `${describeFree(neededBytes, limitBytes)}; outside of the new image: ${describeShortage(choice.shortage)}`;
    }
    wantedBytes *= 2;
  }
}

async function keepRoom(
  file: FileHandle,
  { mountPoint }: FileRoomRequest,
  room: Room,
  all: readonly Segment[],
  sizeBytes: number,
): Promise<FileRoom> {
  const segments = segmentsWithin(all, [room.boot, ...room.bulk]);
  const { bsize } = await statfs(mountPoint);
  const kept = touchedBlocks(segments, bsize, sizeBytes);
  shrinkFile(file.fd, sizeBytes, kept);
  await file.sync();
  // Blocks that were never written are zeros to the file system, whatever lies there.
  for (const range of kept) await writeZeros(file, range);
  await file.sync();
  return { room, segments };
}

function outside({ forbidden, disk }: FileRoomRequest, segments: readonly Segment[]): Region[] {
  return usableRegions(lowerRegions(segments), forbidden, disk.sizeBytes);
}

async function mayTakeBytes(mountPoint: string): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(mountPoint);
  const keptBytes = Math.min(reserveBytes, blocks * bsize * reserveShare);
  return Math.max(0, Math.floor((bavail * bsize - keptBytes) / bsize) * bsize);
}

function describeFree(neededBytes: number, limitBytes: number): string {
  return `${formatBytes(neededBytes)} needed, ${formatBytes(limitBytes)} free that the old OS can spare`;
}
