/** A file that was given its room on the disk. */

import type { FileHandle } from "node:fs/promises";
import type { BlockDevice } from "../../disk/block-device.ts";
import type { Disk } from "../../disk/disk.ts";
import { ReimageError } from "../../errors.ts";
import type { Region } from "../../image/regions.ts";
import { syncDirectory } from "../../system/sync-directory.ts";
import { findMove, writeThrough } from "./file-mapping.ts";
import { removePlaceFile } from "./file-release.ts";
import type { FileRoom } from "./file-room.ts";
import { setImmutable } from "./inode-flags.ts";
import type { ClaimedPlace, FileUndo } from "./place.ts";
import { checkInside } from "./raw-write.ts";
import type { Segment } from "./segments.ts";

export class FilePlace implements ClaimedPlace {
  readonly kind = "file";
  readonly description: string;
  readonly boot: Region;
  readonly bulk: readonly Region[];
  readonly undo: FileUndo;
  readonly #file: FileHandle;
  readonly #raw: BlockDevice;
  readonly #disk: Disk;
  readonly #device: string;
  readonly #segments: readonly Segment[];
  #isKept = false;
  #isSealed = false;

  /** Takes over both handles. @param device the file system's, as /sys/class/block names it */
  constructor(file: FileHandle, raw: BlockDevice, disk: Disk, device: string, found: FileRoom, undo: FileUndo) {
    this.description = `the file ${undo.path}`;
    this.boot = found.room.boot;
    this.bulk = found.room.bulk;
    this.undo = undo;
    this.#file = file;
    this.#raw = raw;
    this.#disk = disk;
    this.#device = device;
    this.#segments = found.segments;
  }

  async writeAt(data: Uint8Array, offsetBytes: number): Promise<void> {
    checkInside([this.boot, ...this.bulk], data, offsetBytes);
    // xfs lets who has an immutable file open already go on writing.
    if (this.#isSealed) throw new ReimageError("bug", "the lifeboat was sealed, and is written to");
    await writeThrough(this.#file, this.#segments, data, offsetBytes);
  }

  async sync(): Promise<void> {
    await this.#file.sync();
    await this.#raw.sync(); // a file system mounted with nobarrier leaves the disk's own cache alone
    const regions = [this.boot, ...this.bulk];
    const moved = await findMove(this.#file.fd, this.#device, this.#disk, this.#segments, regions);
    if (moved === null) return;
    throw new ReimageError("lifeboat", `${this.undo.path}: ${moved}`, {
      hint: "something on this machine moves files (a defragmenter?); stop it, and arm again",
    });
  }

  /** From here on nobody can write, move or remove it, or defragment it, unless he makes it mutable first (chattr -i). */
  async seal(): Promise<void> {
    await this.sync();
    this.#isSealed = true;
    setImmutable(this.#file.fd, true);
    await this.sync();
    await syncDirectory(this.undo.mountPoint);
    await this.#raw.sync();
  }

  keep(): void {
    this.#isKept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await this.#raw[Symbol.asyncDispose]();
    if (!this.#isKept) await removePlaceFile(this.undo.path);
  }
}
