/** A handle of a block device whose reads and writes are whole or an error that names device and offset. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import { flushBuffers, getSectorSizeBytes, getSizeBytes, zeroOut } from "./block-ioctls.ts";

/** How to open. `exclusive` (O_EXCL) fails while anything has the device or one of its partitions mounted or claimed. */
export interface OpenOptions {
  readonly write: boolean;
  readonly exclusive: boolean;
  /** What messages call it; the path unless given. */
  readonly name?: string;
}

/** An open block device. All offsets and sizes in bytes. All failures: ReimageError `device-io` naming device and offset. */
export interface BlockDevice extends AsyncDisposable {
  readonly path: string;
  /** For ioctls, such as rereadPartitions while the device is held exclusively. */
  readonly fd: number;
  /** `major:minor` of what is open, whatever the path means by now. */
  readonly deviceNumber: string;
  readonly sizeBytes: number;
  /** The logical sector size. */
  readonly sectorSizeBytes: number;
  /** Writes all of `buffer`. It is on the disk only after sync(). */
  writeAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Writes all of `buffer` past the page cache (O_DIRECT). Buffer from alignedBuffer(); offset and size in whole sectors.
   * The device has it when this returns, and has it for good after sync().
   */
  writeDirectAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Fills `buffer` through the page cache. */
  readAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Fills `buffer` past the page cache (O_DIRECT). Buffer from alignedBuffer(); offset and size in whole sectors. */
  readDirectAt(buffer: Uint8Array, offsetBytes: number): Promise<void>;
  /** Writes zeros, without transferring them where the device can do that. */
  zeroRange(offsetBytes: number, sizeBytes: number): Promise<void>;
  /** fdatasync(2): everything written so far is on the disk, or this throws. */
  sync(): Promise<void>;
  /** Drops the device's cached pages (BLKFLSBUF); call after sync(), which may take long, as this must not. */
  dropCaches(): void;
}

/** BLKZEROOUT stops the event loop while it runs, so a slow disk gets it in pieces. */
const ZERO_PIECE_BYTES = 16 * 1024 * 1024;

/**
 * Opens a block device. While it is held exclusively nothing can mount its partitions: close it before mounting them.
 * @throws ReimageError `target-busy` when exclusive and held by something, `device-io` otherwise.
 */
export async function openBlockDevice(path: string, options: OpenOptions): Promise<BlockDevice> {
  const flags = (options.write ? constants.O_RDWR : constants.O_RDONLY) | (options.exclusive ? constants.O_EXCL : 0);
  const handle = await openHandle(path, flags);
  try {
    const status = await handle.stat({ bigint: true });
    if (!status.isBlockDevice()) throw new ReimageError("device-io", `${path} is not a block device`);
    const facts = { sizeBytes: getSizeBytes(handle.fd), sectorSizeBytes: getSectorSizeBytes(handle.fd) };
    return new OpenBlockDevice(options.name ?? path, handle, options.write, {
      ...facts,
      deviceNumber: formatDeviceNumber(status.rdev),
    });
  } catch (error) {
    await handle.close();
    throw error instanceof ReimageError ? error : ioError(`asking ${path} for its size`, error);
  }
}

/** `major:minor` of a dev_t, as makedev(3) puts it together. */
function formatDeviceNumber(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}

class OpenBlockDevice implements BlockDevice {
  readonly path: string;
  readonly deviceNumber: string;
  readonly sizeBytes: number;
  readonly sectorSizeBytes: number;
  readonly #handle: FileHandle;
  readonly #write: boolean;
  #direct: Promise<FileHandle> | null = null;

  constructor(
    path: string,
    handle: FileHandle,
    write: boolean,
    facts: Pick<BlockDevice, "sizeBytes" | "sectorSizeBytes" | "deviceNumber">,
  ) {
    this.path = path;
    this.deviceNumber = facts.deviceNumber;
    this.sizeBytes = facts.sizeBytes;
    this.sectorSizeBytes = facts.sectorSizeBytes;
    this.#handle = handle;
    this.#write = write;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  async writeAt(buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#writeTo(this.#handle, buffer, offsetBytes);
  }

  async readAt(buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#readFrom(this.#handle, buffer, offsetBytes);
  }

  async readDirectAt(buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#readFrom(await this.#openDirect(), buffer, offsetBytes);
  }

  async writeDirectAt(buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#writeTo(await this.#openDirect(), buffer, offsetBytes);
  }

  async zeroRange(offsetBytes: number, sizeBytes: number): Promise<void> {
    this.#checkRange("writing", offsetBytes, sizeBytes);
    for (let done = 0; done < sizeBytes; done += ZERO_PIECE_BYTES) {
      const pieceBytes = Math.min(ZERO_PIECE_BYTES, sizeBytes - done);
      try {
        zeroOut(this.fd, offsetBytes + done, pieceBytes);
      } catch (error) {
        throw ioError(`writing zeros to ${this.path} at byte ${offsetBytes + done}`, error);
      }
      await new Promise(setImmediate);
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#handle.datasync();
    } catch (error) {
      throw ioError(`syncing ${this.path} (data written before did not reach the disk)`, error);
    }
  }

  dropCaches(): void {
    try {
      flushBuffers(this.fd);
    } catch (error) {
      throw ioError(`dropping cached pages of ${this.path}`, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#direct?.catch(() => null))?.close();
    await this.#handle.close();
  }

  /** By the descriptor that is open, because the path may mean another disk by now. */
  #openDirect(): Promise<FileHandle> {
    const mode = this.#write ? constants.O_RDWR : constants.O_RDONLY;
    this.#direct ??= openHandle(`/proc/self/fd/${this.fd}`, mode | constants.O_DIRECT);
    return this.#direct;
  }

  async #writeTo(handle: FileHandle, buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#whole("writing", buffer, offsetBytes, async (done) => {
      const { bytesWritten } = await handle.write(buffer, done, buffer.length - done, offsetBytes + done);
      return bytesWritten;
    });
  }

  async #readFrom(handle: FileHandle, buffer: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#whole("reading", buffer, offsetBytes, async (done) => {
      const { bytesRead } = await handle.read(buffer, done, buffer.length - done, offsetBytes + done);
      return bytesRead;
    });
  }

  /** Repeats a transfer that may be partial until all is done. */
  async #whole(
    verb: "reading" | "writing",
    buffer: Uint8Array,
    offsetBytes: number,
    transfer: (done: number) => Promise<number>,
  ): Promise<void> {
    this.#checkRange(verb, offsetBytes, buffer.length);
    for (let done = 0; done < buffer.length; ) {
      const what = `${verb} ${this.path} at byte ${offsetBytes + done}`;
      let moved: number;
      try {
        moved = await transfer(done);
      } catch (error) {
        throw ioError(what, error);
      }
      if (moved <= 0) throw ioError(what, new Error(`${buffer.length - done} bytes short`));
      done += moved;
    }
  }

  #checkRange(verb: string, offsetBytes: number, sizeBytes: number): void {
    if (offsetBytes >= 0 && offsetBytes + sizeBytes <= this.sizeBytes) return;
    throw new ReimageError(
      "device-io",
      `${verb} ${this.path} at byte ${offsetBytes}: ${sizeBytes} bytes do not fit, the device has ${this.sizeBytes}`,
    );
  }
}

async function openHandle(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EBUSY") {
      throw new ReimageError("target-busy", `${path} is in use: it or one of its partitions is mounted or held`, {
        cause: error,
        hint: "unmount it and stop what holds it (lsblk shows both), then start again",
      });
    }
    throw ioError(`opening ${path}`, error);
  }
}

function ioError(what: string, cause: unknown): ReimageError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ReimageError("device-io", `${what}: ${reason}`, {
    cause,
    hint: "look for disk errors in the kernel log (dmesg); a disk that fails like this needs to be replaced",
  });
}
