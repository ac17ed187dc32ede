/** Writing a place past the page cache, and nowhere else. */
import type { BlockDevice } from "../../disk/block-device.ts";
import { ReimageError } from "../../errors.ts";
import type { Region } from "../../image/regions.ts";
import { alignedBuffer } from "../../system/libc.ts";
import { alignmentBytes } from "./choose-regions.ts";
import { coversRegions } from "./region-sets.ts";

const pieceBytes = 1 << 20;

/** @throws ReimageError `bug` unless it is whole 4 KiB inside the regions. */
export function checkInside(regions: readonly Region[], data: Uint8Array, offsetBytes: number): void {
  const isAligned = offsetBytes % alignmentBytes === 0 && data.length % alignmentBytes === 0;
  if (isAligned && coversRegions(regions, [{ offsetBytes, sizeBytes: data.length }])) return;
  throw new ReimageError(
    "bug",
    `${data.length} bytes at byte ${offsetBytes} of the disk are no whole part of the lifeboat`,
  );
}

/** Writes by O_DIRECT, from memory that need not be aligned. `offsetBytes` counts from the device's beginning. */
export async function writeDirect(device: BlockDevice, data: Uint8Array, offsetBytes: number): Promise<void> {
  const buffer = alignedBuffer(Math.min(pieceBytes, data.length));
  for (let done = 0; done < data.length; done += buffer.length) {
    const part = data.subarray(done, done + buffer.length);
    buffer.set(part);
    await device.writeDirectAt(buffer.subarray(0, part.length), offsetBytes + done);
  }
}

/** Reads by O_DIRECT. */
export async function readDirect(device: BlockDevice, offsetBytes: number, sizeBytes: number): Promise<Buffer> {
  const buffer = alignedBuffer(sizeBytes);
  await device.readDirectAt(buffer, offsetBytes);
  return buffer;
}
