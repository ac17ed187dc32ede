/** Reads the target back, past the page cache, and compares it with the image. */
import { createHash } from "node:crypto";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { chunkBytes, fingerprint, type JudgedImage, type WrittenBody } from "./write.ts";

/**
 * Reads the whole image back from the device; its first MiB, which is not on the device yet, is taken from memory.
 * Reading the next chunk and hashing the last one overlap.
 * @returns the sha256 of what was read, in hex: always that of the image.
 * @throws ReimageError `readback` naming the first bytes that differ, `device-io` where the device cannot be read.
 */
export async function readBack(
  image: JudgedImage,
  written: WrittenBody,
  device: BlockDevice,
  onProgress: (bytes: number) => void,
): Promise<string> {
  await device.dropCaches();
  const hash = createHash("sha256");
  const buffers = [alignedBuffer(chunkBytes), alignedBuffer(chunkBytes)];
  const chunkCount = Math.ceil(image.sizeBytes / chunkBytes);

  async function readChunk(index: number): Promise<Buffer> {
    const buffer = buffers[index % 2] as Buffer;
    const offsetBytes = index * chunkBytes;
    const lengthBytes = Math.min(chunkBytes, image.sizeBytes - offsetBytes);
    // Direct reads are whole sectors; the disk is, so there is one even where the image ends within it.
    const wholeBytes = Math.ceil(lengthBytes / device.sectorSizeBytes) * device.sectorSizeBytes;
    await device.readDirectAt(buffer.subarray(0, wholeBytes), offsetBytes);
    if (index === 0) buffer.set(written.head);
    return buffer.subarray(0, lengthBytes);
  }

  let next = readChunk(0);
  for (let index = 0; index < chunkCount; index += 1) {
    const chunk = await next;
    if (index + 1 < chunkCount) {
      next = readChunk(index + 1);
      next.catch(() => {}); // awaited in the next round
    }
    hash.update(chunk);
    if (fingerprint(chunk) !== written.chunkFingerprints[index]) {
      await next.catch(() => {});
      throw mismatch(device.path, index * chunkBytes, chunk.length);
    }
    onProgress(chunk.length);
  }
  const sha256 = hash.digest("hex");
  if (sha256 !== image.sha256) throw mismatch(device.path, 0, image.sizeBytes);
  return sha256;
}

function mismatch(path: string, offsetBytes: number, lengthBytes: number): ReimageError {
  return new ReimageError(
    "readback",
    `${path} does not hold what was written to it: bytes ${offsetBytes} to ${offsetBytes + lengthBytes} read back differently`,
    { hint: "the disk or its cable is faulty; replace it, do not use this disk" },
  );
}
