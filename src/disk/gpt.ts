/** The GUID partition table (UEFI specification, chapter 5.3). */
import { ReimageError } from "../errors.ts";

/** The sector size a GPT was made for, told by where its header lies in the head of the disk; null without a GPT. */
export function detectGptSectorSize(_head: Buffer): 512 | 4096 | null {
  throw new ReimageError("bug", "not written yet");
}

/** A GPT fitted to a disk. `backup` (entries, then header) belongs at `backupOffsetBytes`, the end of the disk. */
export interface RelocatedGpt {
  readonly head: Buffer;
  readonly backup: Buffer;
  readonly backupOffsetBytes: number;
}

/**
 * Fits a GPT made for another disk size to a disk of `diskSizeBytes`.
 * @throws ReimageError `partition-table` where `head` holds no valid GPT, `too-small` where a partition or the backup
 * does not fit.
 */
export function relocateGpt(_head: Buffer, _sectorSizeBytes: number, _diskSizeBytes: number): RelocatedGpt {
  throw new ReimageError("bug", "not written yet");
}
