/** A handle of a block device whose writes are whole or an error. */
import { ReimageError } from "../errors.ts";

/** How to open. `exclusive` (O_EXCL) fails while anything has the device mounted or claimed. */
export interface OpenOptions {
  readonly write: boolean;
  readonly exclusive: boolean;
}

/** An open block device. All offsets and sizes in bytes. All failures: ReimageError `device-io` naming device and offset. */
export interface BlockDevice extends AsyncDisposable {
  readonly path: string;
  /** For ioctls, such as rereadPartitions while the device is held exclusively. */
  readonly fd: number;
  readonly sizeBytes: number;
  readonly sectorSizeBytes: number;
  /** Writes all of `buffer`. */
  writeAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Fills `buffer` through the page cache. */
  readAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Fills `buffer` past the page cache (O_DIRECT). Buffer from alignedBuffer(); offset and size whole sectors. */
  readDirectAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Writes zeros, without data transfer where the device can. */
  zeroRange(offsetBytes: number, sizeBytes: number): Promise<void>;
  /** fdatasync(2): everything written so far is on the disk, or this throws. */
  sync(): Promise<void>;
  /** Drops the device's cached pages (BLKFLSBUF); call after sync(). */
  dropCaches(): Promise<void>;
}

/** @throws ReimageError `target-busy` when exclusive and held by something, `device-io` otherwise. */
export async function openBlockDevice(_path: string, _options: OpenOptions): Promise<BlockDevice> {
  throw new ReimageError("bug", "not written yet");
}
