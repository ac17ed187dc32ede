/** Giving a swap partition back, and whether it is still ours. */
import { openBlockDevice } from "../../disk/block-device.ts";
import type { Disk, DiskPartition } from "../../disk/disk.ts";
import { ReimageError } from "../../errors.ts";
import { swapOn } from "../../system/libc.ts";
import { readActiveSwaps } from "./active-swaps.ts";
import { findPlaceDisk } from "./find-disk.ts";
import type { SwapUndo } from "./place.ts";
import { readDirect, writeDirect } from "./raw-write.ts";
import { swapPageBytes } from "./swap-area.ts";

const smallestSectorBytes = 512;

/**
 * Writes the first page back, and switches the swap space on where it was on. Works where the kernel does not know the
 * partition too, without the switching on. @param isStaying false where the old OS is not what runs: nothing is switched on
 * @throws ReimageError `lifeboat` where the partition holds something else by now, which is left as it is.
 */
export async function releaseSwap(undo: SwapUndo, isStaying = true): Promise<void> {
  const disk = await findPlaceDisk(undo.disk);
  const partition = findPartition(disk, undo);
  const isOn = partition !== undefined && (await readActiveSwaps()).has(partition.name);
  if (isOn) return;
  // By the partition where there is one: its cached pages, which swapon(2) reads, are not those of the disk.
  const path = partition?.path ?? disk.path;
  const offsetBytes = partition === undefined ? undo.partition.offsetBytes : 0;
  {
    await using device = await openBlockDevice(path, { write: true, exclusive: false });
    const firstPage = Buffer.from(undo.firstPage, "base64");
    const found = await readDirect(device, offsetBytes, swapPageBytes);
    if (!found.equals(firstPage)) {
      if (!isOurs(found, firstPage)) throw notOurs(path);
      await writeDirect(device, firstPage, offsetBytes);
      await device.sync();
    }
    device.dropCaches();
  }
  if (isStaying && undo.wasOn && partition !== undefined) swapOn(partition.path, undo.priority);
}

/** What has happened to it, in words; null where it is as it was left. */
export async function checkSwap(undo: SwapUndo): Promise<string | null> {
  const disk = await findPlaceDisk(undo.disk);
  const partition = findPartition(disk, undo);
  if (partition === undefined) return `there is no partition any more where the swap space of the lifeboat was`;
  if ((await readActiveSwaps()).has(partition.name)) return `${partition.path} is in use as swap space again`;
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  const found = await readDirect(device, undo.partition.offsetBytes, swapPageBytes);
  return isWiped(found) ? null : `the first page of ${partition.path} is not as it was left`;
}

function findPartition(disk: Disk, { partition }: SwapUndo): DiskPartition | undefined {
  return disk.partitions.find(
    ({ startBytes, sizeBytes }) => startBytes === partition.offsetBytes && sizeBytes === partition.sizeBytes,
  );
}

/** A power cut may have torn the wiping, or the writing back: each sector is as it was, or wiped. */
function isOurs(page: Buffer, firstPage: Buffer): boolean {
  for (let at = 0; at < swapPageBytes; at += smallestSectorBytes) {
    const sector = page.subarray(at, at + smallestSectorBytes);
    if (!isWiped(sector) && !sector.equals(firstPage.subarray(at, at + smallestSectorBytes))) return false;
  }
  return true;
}

function isWiped(page: Buffer): boolean {
  return page.every((byte) => byte === 0);
}

function notOurs(path: string): ReimageError {
  return new ReimageError("lifeboat", `${path} held the lifeboat in its swap space and holds something else now`, {
    hint: "it is left as it is; if it should be swap space again: mkswap, and its new UUID into /etc/fstab",
  });
}
