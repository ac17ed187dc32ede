/** The first MiB of the target: cleared before anything else is written, and written after everything else is proven. */
import type { BlockDevice } from "../disk/block-device.ts";
import { asReimageError, ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { headBytes } from "./outline.ts";

/**
 * Clears the first and the last MiB, and waits until the disk has it: from here on it does not boot. The last MiB may hold
 * the old backup GPT, which firmware would boot from, or the old superblock of a RAID, which the new OS would assemble.
 */
export async function clearBootSectors(device: BlockDevice): Promise<void> {
  const zeros = alignedBuffer(Math.min(headBytes, device.sizeBytes));
  await device.writeAt(zeros, 0);
  await device.writeAt(zeros, device.sizeBytes - zeros.length);
  await device.sync();
}

/**
 * Writes the backup of a GPT to the end of the disk, and reads it back. Before the commit, which makes it count.
 * @throws ReimageError `readback` or `device-io`
 */
export async function writeBackupTable(device: BlockDevice, backup: Buffer, offsetBytes: number): Promise<void> {
  const data = alignedBuffer(backup.length);
  data.set(backup);
  const found = alignedBuffer(backup.length);
  await device.writeAt(data, offsetBytes);
  await device.sync();
  device.dropCaches();
  await device.readDirectAt(found, offsetBytes);
  requireEqual(device.path, data, found);
}

/**
 * Writes the first MiB: all but its first sector, then, once the disk has that, the first sector alone. That one write is
 * the commit: before it the disk does not boot, after it it boots the complete new OS. The result is read back.
 * @throws ReimageError `readback` or `device-io`; the first sector has then been cleared again, if that was possible.
 */
export async function commitHead(device: BlockDevice, head: Buffer): Promise<void> {
  const { sectorSizeBytes } = device;
  const wholeBytes = Math.ceil(head.length / sectorSizeBytes) * sectorSizeBytes;
  const aligned = alignedBuffer(wholeBytes);
  aligned.set(head);
  const found = alignedBuffer(wholeBytes);
  try {
    await device.writeAt(aligned.subarray(sectorSizeBytes), sectorSizeBytes);
    await device.sync();
    await device.dropCaches();
    await device.readDirectAt(found, 0);
    requireEqual(device.path, aligned.subarray(sectorSizeBytes), found.subarray(sectorSizeBytes));
    await device.writeAt(aligned.subarray(0, sectorSizeBytes), 0);
    await device.sync();
    await device.dropCaches();
    await device.readDirectAt(found, 0);
    requireEqual(device.path, aligned, found);
  } catch (cause) {
    // Never half a system: what could not be proven must not boot. Its own failure would only hide the first one.
    const isCleared = await device
      .writeAt(alignedBuffer(sectorSizeBytes), 0)
      .then(() => device.sync())
      .then(
        () => true,
        () => false,
      );
    if (isCleared) throw cause;
    const { code, message, hint } = asReimageError(cause);
    throw new ReimageError(code, `${message}; and its first sector could not be cleared again, so the disk may boot`, {
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function requireEqual(path: string, wanted: Buffer, found: Buffer): void {
  if (wanted.equals(found)) return;
  throw new ReimageError("readback", `${path} does not hold the partition table that was written to it`, {
    hint: "the disk or its cable is faulty; replace it, do not use this disk",
  });
}

/**
 * Clears the first MiB, and a backup GPT at the end that the image brought along or an interrupted commit left behind, so
 * that the disk does not boot while it is being restored. The commit writes both anew.
 * @param lastUsedByteEnd where the last partition of the image ends: what lies before is the partition's own
 */
export async function clearPartitionTable(device: BlockDevice, lastUsedByteEnd: number): Promise<void> {
  await device.writeAt(alignedBuffer(Math.min(headBytes, device.sizeBytes)), 0);
  const last = alignedBuffer(device.sectorSizeBytes);
  const lastOffsetBytes = device.sizeBytes - last.length;
  await device.readDirectAt(last, lastOffsetBytes);
  const isBackup = lastOffsetBytes >= lastUsedByteEnd && last.subarray(0, 8).toString("latin1") === "EFI PART";
  if (isBackup) await device.writeAt(last.fill(0), lastOffsetBytes);
  await device.sync();
}
