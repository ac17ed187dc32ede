/** The kernel's read-only flag of block devices: every disk but the target gets it for the run. */
import { open } from "node:fs/promises";
import { describeError, ReimageError } from "../errors.ts";
import { getReadOnly, putReadOnly } from "./block-ioctls.ts";
import type { Disk } from "./inventory.ts";

/** Devices that were set read-only; disposing makes them writable again, which a run on a live system owes it. */
export interface Protection extends AsyncDisposable {
  /** Paths whose flag was changed. Those that were read-only before are not among them and stay so. */
  readonly changed: readonly string[];
}

/**
 * Sets or clears the read-only flag of one device, disk or partition. A device that is open for writing cannot be
 * written through that descriptor any more; a file system that is mounted writable keeps writing, and Linux only warns.
 * @returns whether the flag was another one before.
 * @throws ReimageError `device-io`
 */
export async function setReadOnly(path: string, readOnly: boolean): Promise<boolean> {
  const fail = (error: unknown) =>
    new ReimageError("device-io", `making ${path} ${readOnly ? "read-only" : "writable"}: ${describeError(error)}`, {
      cause: error,
    });
  const handle = await open(path, "r").catch((error: unknown) => {
    throw fail(error);
  });
  try {
    if (getReadOnly(handle.fd) === readOnly) return false;
    putReadOnly(handle.fd, readOnly);
    if (getReadOnly(handle.fd) !== readOnly) throw new Error("the driver did not accept it");
    return true;
  } catch (error) {
    throw fail(error);
  } finally {
    await handle.close();
  }
}

/**
 * Sets every disk but the target read-only, with its partitions. Outside an initramfs, leave out of `disks` what the
 * running system itself lies on.
 * @throws ReimageError `device-io`; what was set before the failure is writable again then.
 */
export async function protectOtherDisks(disks: readonly Disk[], target: Disk): Promise<Protection> {
  const changed: string[] = [];
  const release = async () => {
    // The disk before its partitions: a partition of a read-only disk stays read-only whatever its own flag says.
    while (changed.length > 0) {
      const [path] = changed.splice(-1);
      if (path !== undefined) await setReadOnly(path, false);
    }
  };
  try {
    for (const disk of disks.filter((candidate) => candidate.deviceNumber !== target.deviceNumber)) {
      for (const path of [...disk.partitions.map((partition) => partition.path), disk.path]) {
        if (await setReadOnly(path, true)) changed.push(path);
      }
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { changed, [Symbol.asyncDispose]: release };
}
