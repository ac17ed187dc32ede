/** Finds file systems by what is written on the disks, with low-level probes: no cache, no udev. */
import { type ErrorCode, ReimageError } from "../errors.ts";
import type { Disk } from "./inventory.ts";

/** What a device or a range of a file holds. */
export interface FileSystem {
  /** blkid's TYPE: ext4, xfs, LVM2_member, crypto_LUKS, swap … */
  readonly type: string;
  readonly label: string | null;
  readonly uuid: string | null;
}

/** Where a file system was found. */
export interface FoundFileSystem {
  readonly device: string;
  /** The disk it lies on; null for a dm or md device over several disks. */
  readonly disk: Disk | null;
  readonly partitionNumber: number | null;
  readonly fileSystem: FileSystem | null;
}

/** Where to look, and the error code of not finding it. */
export interface FindOptions {
  readonly disks: readonly Disk[];
  readonly code: ErrorCode;
}

/** What lies on a device, or in a range of it or of a file; null where blkid knows nothing there. */
export async function probeFileSystem(
  _path: string,
  _range?: { readonly offsetBytes: number; readonly sizeBytes: number },
): Promise<FileSystem | null> {
  throw new ReimageError("bug", "not written yet");
}

/**
 * The one device that `spec` (LABEL= UUID= PARTLABEL= PARTUUID= or /dev/…) names.
 * @throws ReimageError with the caller's code for none or several, listing what there is.
 */
export async function findFileSystem(_spec: string, _within: FindOptions): Promise<FoundFileSystem> {
  throw new ReimageError("bug", "not written yet");
}
