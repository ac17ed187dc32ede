/** Whether what is written to a file arrives where the file is thought to lie. */
import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { BlockDevice } from "../../disk/block-device.ts";
import type { Region } from "../../image/regions.ts";
import { alignmentBytes } from "./choose-regions.ts";
import { writeThrough } from "./file-mapping.ts";
import { readDirect } from "./raw-write.ts";
import { alignInward } from "./region-sets.ts";
import type { Segment } from "./segments.ts";

/**
 * Writes random bytes through the file at both ends of every segment, and reads them from the disk itself: whatever lies
 * between the two that this program does not know of shows here. Zeros are written over them again.
 * @param segments file → disk, ours to write to
 * @returns what is wrong, or null
 */
export async function proveAddresses(
  file: FileHandle,
  raw: BlockDevice,
  segments: readonly Segment[],
): Promise<string | null> {
  const ends = segments.flatMap(({ toBytes, sizeBytes }): Region[] => {
    const whole = alignInward({ offsetBytes: toBytes, sizeBytes }, alignmentBytes);
    if (whole === null) return [];
    const last = whole.offsetBytes + whole.sizeBytes - alignmentBytes;
    return [...new Set([whole.offsetBytes, last])].map((offsetBytes) => ({ offsetBytes, sizeBytes: alignmentBytes }));
  });
  const pattern = randomBytes(alignmentBytes);
  const stamped = (offsetBytes: number): Buffer => {
    const stamp = Buffer.from(pattern);
    stamp.writeBigUInt64LE(BigInt(offsetBytes)); // no two are alike
    return stamp;
  };
  for (const { offsetBytes } of ends) await writeThrough(file, segments, stamped(offsetBytes), offsetBytes);
  await file.sync();
  for (const { offsetBytes } of ends) {
    if ((await readDirect(raw, offsetBytes, alignmentBytes)).equals(stamped(offsetBytes))) continue;
    return `what is written to a file does not arrive at its address, byte ${offsetBytes} of the disk`;
  }
  const zeros = Buffer.alloc(alignmentBytes);
  for (const { offsetBytes } of ends) await writeThrough(file, segments, zeros, offsetBytes);
  await file.sync();
  return null;
}
