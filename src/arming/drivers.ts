/** Whether kernel and initramfs fit each other, are whole, and would find the disk of this machine. */
import { ReimageError } from "../errors.ts";
import { type DriverList, knowsAlias, parseDriverList } from "./driver-list.ts";
import { type DriverNeed, readDriverNeeds } from "./driver-needs.ts";
import { inspectInitramfs } from "./initramfs-file.ts";
import { readKernelVersion } from "./kernel-image.ts";

export interface BootFiles {
  readonly kernelPath: string;
  readonly initramfsPath: string;
}

const rebuild = "make initramfs KERNEL=<vmlinuz> MODULES=<folder of that kernel's modules>";

/**
 * Judges the two files that are booted.
 * @param warn told what cannot be judged
 * @returns what the drivers in the initramfs know; null where it does not say.
 * @throws ReimageError `lifeboat` where they cannot be booted together.
 */
export async function readBootFiles(files: BootFiles, warn: (message: string) => void): Promise<DriverList | null> {
  const { kernelPath, initramfsPath } = files;
  const kernel = await readKernelVersion(kernelPath);
  const { drivers, whole } = await inspectInitramfs(initramfsPath);
  if (whole === "no") {
    throw new ReimageError("lifeboat", `${initramfsPath} is not whole: it breaks off, or is damaged`, {
      hint: "copy it to this machine again, and compare its sha256",
    });
  }
  const list = drivers === null ? null : parseDriverList(drivers);
  if (list === null) {
    warn(`${initramfsPath} has no list of its drivers that can be read here: nobody knows whether it finds this disk`);
  } else if (list.kernel !== kernel) {
    throw new ReimageError(
      "lifeboat",
      `${kernelPath} is kernel ${kernel}, and ${initramfsPath} holds the drivers of kernel ${list.kernel}`,
      { hint: `take both from the same build, or build them for one kernel: ${rebuild}` },
    );
  }
  return list;
}

/** @throws ReimageError `target` where the initramfs has no driver for a device that the disk hangs on. */
export async function requireDrivers(list: DriverList | null, diskName: string): Promise<void> {
  if (list === null) return;
  const [missing] = missingDrivers(list, await readDriverNeeds(diskName));
  if (missing === undefined) return;
  throw new ReimageError(
    "target",
    `the initramfs has no driver for ${missing.device} (${missing.alias}), which disk ${diskName} hangs on; ` +
      `here it is driven by "${missing.driver}"`,
    { hint: `add that driver to initramfs/modules.ts, or build with a kernel that has it: ${rebuild}` },
  );
}

/** The needs that no driver in the list meets (pure). */
export function missingDrivers(list: DriverList, needs: readonly DriverNeed[]): DriverNeed[] {
  return needs.filter(({ alias }) => !knowsAlias(list, alias));
}
