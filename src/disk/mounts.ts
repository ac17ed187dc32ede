/** Mounting: the old OS without changing a byte of it, the new OS for the retained files. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type ErrorCode, ReimageError } from "../errors.ts";
import { runCommand } from "../system/commands.ts";
import { probeFileSystem } from "./find-filesystem.ts";
import { parseMountInfo } from "./mount-info.ts";
import { describeUsers } from "./mount-users.ts";
import { setReadOnly } from "./read-only.ts";
import { blockDeviceName, readAttribute } from "./sysfs.ts";

export { type MountInfo, parseMountInfo } from "./mount-info.ts";

/** A mounted file system; disposing unmounts it, and throws with the caller's code where it stays busy. */
export interface Mount extends AsyncDisposable {
  readonly device: string;
  readonly directory: string;
  /** ext4, xfs, btrfs, vfat … */
  readonly type: string;
}

/** What keeps a file system from replaying its journal or log. The rest (vfat, iso9660 …) has none. */
const NO_REPLAY: Readonly<Record<string, readonly string[]>> = {
  ext3: ["noload"],
  ext4: ["noload"],
  xfs: ["norecovery"],
  btrfs: ["rescue=nologreplay", "nologreplay"], // the second is what Linux before 5.9 calls it
  f2fs: ["norecovery"],
};
const UNMOUNT_ATTEMPTS = 20;
const UNMOUNT_RETRY_MS = 100;

/**
 * Mounts for reading. No journal or log is replayed, and for the time of the mount the device is read-only in the
 * kernel: ext4 cleans up deleted files on a mere `ro,noload` mount too, and only that flag keeps it from writing.
 * @throws ReimageError with `code`, for a device that holds nothing that can be mounted, or is mounted writable.
 */
export async function mountReadOnly(device: string, directory: string, code: ErrorCode = "old-os"): Promise<Mount> {
  const type = await probeType(device, code);
  const number = await readAttribute(`/sys/class/block/${await blockDeviceName(device)}`, "dev");
  const writable = (await readMounts()).find(
    (m) => (m.source === device || m.deviceNumber === number) && m.superOptions.split(",").includes("rw"),
  );
  if (writable !== undefined) {
    throw new ReimageError(code, `${device} is mounted writable on ${writable.mountPoint} and cannot be read safely`, {
      hint: `unmount it (umount ${writable.mountPoint}), then start again`,
    });
  }
  const wasWritable = await setReadOnly(device, true);
  const restore = async () => {
    if (wasWritable) await setReadOnly(device, false);
  };
  try {
    const variants = NO_REPLAY[type] ?? [null];
    for (const [i, option] of variants.entries()) {
      const isLast = i === variants.length - 1;
      const options = ["ro", ...(option === null ? [] : [option])].join(",");
      const failed = await runCommand("mount", ["-t", type, "-o", options, device, directory], {
        code,
        hint: `the file system on ${device} may be damaged, or its type ${type} not supported by this kernel (dmesg says)`,
        accept: isLast ? [] : [32],
      });
      if (failed.exitCode === 0) break;
    }
  } catch (error) {
    await restore();
    throw error;
  }
  return makeMount(device, directory, type, code, restore);
}

/**
 * Shows a file system that the running system may have mounted, once more and read-only, without what is mounted over its
 * directories. One that is not mounted is mounted as by `mountReadOnly`.
 * @throws ReimageError with `code`, also where only a part of it (a btrfs subvolume, a bind mount) is mounted.
 */
export async function mountLiving(device: string, directory: string, code: ErrorCode = "old-os"): Promise<Mount> {
  const number = await readAttribute(`/sys/class/block/${await blockDeviceName(device)}`, "dev");
  const mounts = (await readMounts()).filter((m) => m.source === device || m.deviceNumber === number);
  if (mounts.length === 0) return await mountReadOnly(device, directory, code);
  const type = await probeType(device, code);
  const whole = mounts.find((mount) => mount.root === "/");
  if (whole === undefined) {
    throw new ReimageError(code, `of ${device} only a part is mounted, on ${mounts[0]?.mountPoint}`, {
      hint: "a root in a btrfs subvolume, or in a container, cannot be armed from; use the network or a USB stick",
    });
  }
  await runCommand("mount", ["--bind", whole.mountPoint, directory], { code });
  const mount = makeMount(device, directory, type, code, async () => {});
  try {
    // systemd makes mounts shared: what is mounted later in the original, would be mounted in here too, writable.
    await runCommand("mount", ["--make-private", directory], { code });
    await runCommand("mount", ["-o", "remount,bind,ro", directory], { code });
  } catch (error) {
    await mount[Symbol.asyncDispose]();
    throw error;
  }
  return mount;
}

/**
 * Mounts for reading, its journal replayed: where its power was cut, the file system on the disk is older than what its
 * programs were told was written. The replay changes the disk as the OS of it would at its next start, and can be repeated.
 * @throws ReimageError with `code`
 */
export async function mountRecovered(device: string, directory: string, code: ErrorCode = "old-os"): Promise<Mount> {
  return await mountAs("-r", device, directory, code);
}

/** Mounts for writing, never falling back to read-only. @throws ReimageError with `code` */
export async function mountReadWrite(device: string, directory: string, code: ErrorCode = "new-os"): Promise<Mount> {
  return await mountAs("-w", device, directory, code);
}

async function mountAs(flag: "-r" | "-w", device: string, directory: string, code: ErrorCode): Promise<Mount> {
  const type = await probeType(device, code);
  await runCommand("mount", ["-t", type, flag, device, directory], {
    code,
    hint: `the file system on ${device} may be damaged, or its type ${type} not supported by this kernel (dmesg says)`,
  });
  return makeMount(device, directory, type, code, async () => {});
}

/** Unmounts everything at and below a directory, the latest first: leftovers of a run that was killed. */
export async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readMounts()).map((mount) => mount.mountPoint);
  for (const point of mounts.reverse()) {
    if (point === directory || point.startsWith(`${directory}/`)) await unmount(point, "state");
  }
}

function makeMount(
  device: string,
  directory: string,
  type: string,
  code: ErrorCode,
  after: () => Promise<void>,
): Mount {
  let isMounted = true;
  return {
    device,
    directory,
    type,
    async [Symbol.asyncDispose]() {
      if (!isMounted) return;
      await unmount(directory, code);
      isMounted = false;
      await after();
    },
  };
}

/** Retries while it is busy, which a process that is just ending makes it for a moment. */
async function unmount(directory: string, code: ErrorCode): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { exitCode, stderr } = await runCommand("umount", [directory], { code, accept: [1, 16, 32] });
    if (exitCode === 0) return;
    if (!stderr.includes("busy") || attempt === UNMOUNT_ATTEMPTS) {
      const users = await describeUsers(directory, await readMounts());
      throw new ReimageError(code, `${directory} cannot be unmounted: ${stderr.trim()}${users}`, {
        hint: "end what uses it, then unmount it by hand (umount)",
      });
    }
    await sleep(UNMOUNT_RETRY_MS);
  }
}

async function probeType(device: string, code: ErrorCode): Promise<string> {
  const found = await probeFileSystem(device);
  if (found !== null) return found.type;
  throw new ReimageError(code, `${device} holds no file system that blkid knows`, {
    hint: `look at it with: blkid -p ${device}`,
  });
}

async function readMounts() {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}
