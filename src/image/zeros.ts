/** Makes what an image leaves out read as zero, and makes sure of it. */
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import type { Region } from "./regions.ts";

const pieceBytes = 64 << 20;

/** One block in each 4 MiB is looked at, and both ends of each region. */
const sampleEveryBytes = 4 << 20;
const sampleBytes = 4096;

/**
 * Zeroes `regions` by BLKZEROOUT: the device does it by itself where it can, and the kernel writes zeros where it cannot.
 * `onProgress` is told of the bytes that are done.
 */
export async function zeroRegions(
  regions: readonly Region[],
  device: BlockDevice,
  onProgress: (bytes: number) => void,
): Promise<void> {
  for (const { offsetBytes, sizeBytes } of regions) {
    for (let done = 0; done < sizeBytes; done += pieceBytes) {
      const partBytes = Math.min(pieceBytes, sizeBytes - done);
      await device.zeroRange(offsetBytes + done, partBytes);
      onProgress(partBytes);
    }
  }
  await device.sync();
}

/**
 * Whether `regions` read as zero, past the page cache. Devices that lie about zeroing (there are some) do it for large
 * stretches, so a block in each 4 MiB and both ends of each region are looked at, not all of it.
 */
export async function readAsZero(regions: readonly Region[], device: BlockDevice): Promise<boolean> {
  device.dropCaches();
  const sample = alignedBuffer(sampleBytes);
  const zeros = Buffer.alloc(sampleBytes);
  for (const { offsetBytes, sizeBytes } of regions) {
    const lastBytes = Math.max(0, sizeBytes - sampleBytes);
    for (let at = 0; ; at = Math.min(at + sampleEveryBytes, lastBytes)) {
      const data = sample.subarray(0, Math.min(sampleBytes, sizeBytes));
      await device.readDirectAt(data, offsetBytes + at);
      if (!data.equals(zeros.subarray(0, data.length))) return false;
      if (at === lastBytes) break;
    }
  }
  return true;
}

/**
 * Writes zeros into `regions`, byte by byte, and reads all of it back: for a device that only claims to zero.
 * @throws ReimageError `readback` or `device-io`
 */
export async function writeZeros(
  regions: readonly Region[],
  device: BlockDevice,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const zeros = alignedBuffer(4 << 20);
  const found = alignedBuffer(4 << 20);
  for (const doing of ["writing", "reading"] as const) {
    for (const { offsetBytes, sizeBytes } of regions) {
      for (let done = 0; done < sizeBytes; done += zeros.length) {
        const partBytes = Math.min(zeros.length, sizeBytes - done);
        const at = offsetBytes + done;
        if (doing === "writing") {
          await device.writeDirectAt(zeros.subarray(0, partBytes), at);
          onProgress(partBytes);
          continue;
        }
        await device.readDirectAt(found.subarray(0, partBytes), at);
        if (!found.subarray(0, partBytes).equals(zeros.subarray(0, partBytes)))
          throw notZero(device.path, at, partBytes);
      }
    }
    if (doing === "writing") {
      await device.sync();
      device.dropCaches();
    }
  }
}

function notZero(path: string, offsetBytes: number, sizeBytes: number): ReimageError {
  return new ReimageError(
    "readback",
    `${path} does not read as zero from byte ${offsetBytes} to ${offsetBytes + sizeBytes}, where zeros were written`,
    { hint: "the disk or its cable is faulty; replace it, do not use this disk" },
  );
}
