/** Reading and writing stretches of a disk in order, past the page cache, as if they were one file. */
import { createHash } from "node:crypto";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import type { Region } from "../image/regions.ts";
import { alignedBuffer } from "../system/libc.ts";
import { alignUp, mapBulk } from "./layout.ts";
import type { Parcel } from "./record.ts";

const pieceBytes = 1 << 20;

/**
 * Reads `sizeBytes` from `offsetBytes` of the stretches on, in pieces. A piece is valid until the next one is asked for.
 * @throws ReimageError `device-io`
 */
export async function* readRegions(
  device: BlockDevice,
  regions: readonly Region[],
  offsetBytes: number,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  const buffer = alignedBuffer(pieceBytes);
  const endBytes = offsetBytes + sizeBytes;
  const alignment = buffer.length; // pieces begin at multiples of their size, so that they are whole sectors
  for (let at = Math.floor(offsetBytes / alignment) * alignment; at < endBytes; at += alignment) {
    const wholeBytes = Math.min(alignment, alignUp(endBytes - at));
    let done = 0;
    for (const part of mapBulk(regions, { offsetBytes: at, sizeBytes: wholeBytes })) {
      await device.readDirectAt(buffer.subarray(done, done + part.sizeBytes), part.offsetBytes);
      done += part.sizeBytes;
    }
    yield buffer.subarray(Math.max(0, offsetBytes - at), Math.min(wholeBytes, endBytes - at));
  }
}

/** Takes bytes, and writes them at an absolute byte of a disk; whole 4 KiB, in order. */
export type WriteAt = (data: Buffer, offsetBytes: number) => Promise<void>;

/**
 * Writes what `source` gives into the stretches, from their beginning, the last 4 KiB filled up with zeros.
 * @returns how much it was, and its digest.
 * @throws ReimageError `lifeboat` where there is no room for it.
 */
export async function writeRegions(
  writeAt: WriteAt,
  regions: readonly Region[],
  source: AsyncIterable<Uint8Array>,
): Promise<Parcel> {
  const roomBytes = regions.reduce((sum, region) => sum + region.sizeBytes, 0);
  const buffer = alignedBuffer(pieceBytes);
  const hash = createHash("sha256");
  let filledBytes = 0;
  let sizeBytes = 0;
  let at = 0;

  async function flush(): Promise<void> {
    const wholeBytes = alignUp(filledBytes);
    buffer.fill(0, filledBytes, wholeBytes);
    if (at + wholeBytes > roomBytes) throw noRoom(roomBytes);
    let done = 0;
    for (const part of mapBulk(regions, { offsetBytes: at, sizeBytes: wholeBytes })) {
      await writeAt(buffer.subarray(done, done + part.sizeBytes), part.offsetBytes);
      done += part.sizeBytes;
    }
    at += wholeBytes;
    filledBytes = 0;
  }
  for await (const chunk of source) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + buffer.length - filledBytes);
      buffer.set(part, filledBytes);
      filledBytes += part.length;
      taken += part.length;
      if (filledBytes === buffer.length) await flush();
    }
  }
  if (filledBytes > 0) await flush();
  return { sizeBytes, sha256: hash.digest("hex") };
}

function noRoom(roomBytes: number): ReimageError {
  return new ReimageError("lifeboat", `the lifeboat has room for ${roomBytes} bytes, and there is more to be kept`, {
    hint: "the retained files have grown since the machine was armed: disarm, and arm again",
  });
}

/** A checksum of a stream, whatever pieces it comes in: it finds what has changed by accident, ten times as fast as a digest. */
export function createChecksum() {
  const piece = Buffer.alloc(pieceBytes);
  let filledBytes = 0;
  let sum = 0n;
  return {
    update(data: Uint8Array): void {
      for (let taken = 0; taken < data.length; ) {
        const part = data.subarray(taken, taken + piece.length - filledBytes);
        piece.set(part, filledBytes);
        filledBytes += part.length;
        taken += part.length;
        if (filledBytes < piece.length) continue;
        sum = Bun.hash.xxHash64(piece, sum);
        filledBytes = 0;
      }
    },
    finish(): string {
      return Bun.hash.xxHash64(piece.subarray(0, filledBytes), sum).toString(16).padStart(16, "0");
    },
  };
}

/** The checksum of what the disk holds there. @throws ReimageError `device-io` */
export async function checksumRegion(device: BlockDevice, region: Region): Promise<string> {
  const checksum = createChecksum();
  for await (const piece of readRegions(device, [region], 0, region.sizeBytes)) checksum.update(piece);
  return checksum.finish();
}

/** The digest of what the disk holds there. @throws ReimageError `device-io` */
export async function digestRegions(
  device: BlockDevice,
  regions: readonly Region[],
  sizeBytes: number,
): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of readRegions(device, regions, 0, sizeBytes)) hash.update(piece);
  return hash.digest("hex");
}
