/** The kernel's read-only flag of block devices: every disk but the target gets it for the run. */
import { ReimageError } from "../errors.ts";
import type { Disk } from "./inventory.ts";

/** Devices that were set read-only; disposing makes them writable again. */
export interface Protection extends AsyncDisposable {
  /** Paths whose flag was changed (those that were read-only before are not among them). */
  readonly changed: readonly string[];
}

/** Sets or clears the read-only flag of one device (BLKROSET). */
export async function setReadOnly(_path: string, _readOnly: boolean): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}

/** Sets every disk but the target read-only, with its partitions. */
export async function protectOtherDisks(_disks: readonly Disk[], _target: Disk): Promise<Protection> {
  throw new ReimageError("bug", "not written yet");
}
