/** The mounted file systems of the old OS on the target disk, and which of them may hold the lifeboat as a file. */
import { readFile, stat } from "node:fs/promises";
import type { Disk } from "../../disk/disk.ts";
import { deviceToDisks } from "../../disk/inventory.ts";
import { type MountInfo, parseMountInfo } from "../../disk/mounts.ts";
import { devicePath } from "../../disk/parse-disk.ts";
import { blockDeviceName } from "../../disk/sysfs.ts";
import { blockName } from "./device-segments.ts";

/** A mounted file system of the target. */
export interface OldFileSystem {
  readonly mountPoint: string;
  readonly type: string;
  /** The device's name in /sys/class/block. */
  readonly device: string;
  /** Why it must not hold the lifeboat; null where it may. */
  readonly refusal: string | null;
}

/** Why files of a type do not stay where they are. */
const movers: Readonly<Record<string, string>> = {
  btrfs: "btrfs writes every change to another place",
  bcachefs: "bcachefs writes every change to another place",
  f2fs: "f2fs moves what is in a file by itself",
  nilfs2: "nilfs2 writes every change to another place",
};
const steadyTypes: readonly string[] = ["ext2", "ext3", "ext4", "xfs"];

/** The file systems on the disk, each once, the root first. */
export async function readOldFileSystems(disk: Disk): Promise<OldFileSystem[]> {
  const mounts = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
  const found: OldFileSystem[] = [];
  for (const mount of mounts.toSorted((a, b) => Number(b.mountPoint === "/") - Number(a.mountPoint === "/"))) {
    const device = await deviceName(mount);
    if (device === null || !(await isOnDisk(device, disk))) continue;
    const other = found.findIndex((each) => each.device === device);
    if (other >= 0 && found[other]?.refusal === null) continue;
    const entry = { mountPoint: mount.mountPoint, type: mount.type, device, refusal: await refuse(mount, device) };
    if (other < 0) found.push(entry);
    else if (entry.refusal === null) found[other] = entry; // mounted elsewhere too, where it will do
  }
  return found;
}

/** btrfs has a number of its own, so the device it was mounted from counts there. Null where there is none. */
async function deviceName(mount: MountInfo): Promise<string | null> {
  if (!mount.deviceNumber.startsWith("0:")) return await blockName(mount.deviceNumber).catch(() => null);
  return mount.source.startsWith("/dev/") ? await blockDeviceName(mount.source).catch(() => null) : null;
}

async function isOnDisk(device: string, disk: Disk): Promise<boolean> {
  return (await deviceToDisks(devicePath(device)).catch((): string[] => [])).includes(disk.name);
}

async function refuse(mount: MountInfo, device: string): Promise<string | null> {
  const byMount = refuseMount(mount);
  if (byMount !== null) return byMount;
  const directory = await stat(mount.mountPoint, { bigint: true }).catch(() => null);
  if (directory === null || !directory.isDirectory()) return "no directory is mounted there";
  if (formatDevice(directory.dev) !== mount.deviceNumber) return "something else is mounted over it";
  if (directory.uid !== 0n || (directory.mode & 0o022n) !== 0n)
    return "others than root may write to its top directory";
  // What mountinfo shows leaves out what the superblock says by itself (tune2fs -o).
  const options = await readFile(`/proc/fs/ext4/${device}/options`, "utf8").catch(() => "");
  return options.split("\n").includes("data=journal") ? journalled : null;
}

const journalled = "it is mounted with data=journal, which keeps what was written elsewhere first";

/** What the mount itself says (pure). */
export function refuseMount({ type, options, superOptions }: MountInfo): string | null {
  const all = [...options.split(","), ...superOptions.split(",")];
  if (!steadyTypes.includes(type)) return movers[type] ?? `${type} is not known to keep a file in its place`;
  if (all.includes("ro")) return "it is mounted read-only";
  if (all.includes("data=journal")) return journalled;
  if (all.some((option) => option.startsWith("rtdev="))) return "it has a realtime device, to which FIEMAP may refer";
  return null;
}

/** `major:minor` of a dev_t, as makedev(3) puts it together. */
function formatDevice(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}
