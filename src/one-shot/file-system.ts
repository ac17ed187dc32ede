/** The file system that a path lies on, as a boot loader has to find it. */
import { readFile, realpath, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { type MountInfo, parseMountInfo } from "../disk/mount-info.ts";
import { probe } from "../disk/probe.ts";
import { readAttribute } from "../disk/sysfs.ts";
import { isDirectory } from "./missing.ts";

/** What a file system lies on: `plain` is a partition or a whole disk; `mapped` LVM, encryption or multipath. */
export type DeviceKind = "plain" | "mapped" | "raid" | "none";

/** A partition in the words of firmware. */
export interface PartitionPlace {
  readonly number: number;
  readonly startLba: number;
  readonly sectors: number;
  readonly uuid: string;
}

export interface BootFileSystem {
  readonly mountPoint: string;
  readonly type: string;
  readonly readOnly: boolean;
  /** Options of the mount and of the file system. */
  readonly options: readonly string[];
  readonly device: DeviceKind;
  readonly uuid: string | null;
  /** Null where it is no partition. */
  readonly partition: PartitionPlace | null;
  /** A part of the file system alone is mounted: paths in it are not those that a boot loader sees. */
  readonly isSubtree: boolean;
}

/** Finds out about the file system of a path that exists. */
export async function readBootFileSystem(path: string): Promise<BootFileSystem> {
  const real = await realpath(path);
  await stat(real); // an automount is mounted now
  const mount = mountOf(parseMountInfo(await readFile("/proc/self/mountinfo", "utf8")), real);
  const options = [...mount.options.split(","), ...mount.superOptions.split(",")];
  const sysfs = await realpath(`/sys/dev/block/${mount.deviceNumber}`).catch(() => null);
  const name = sysfs === null ? null : basename(sysfs).replaceAll("!", "/");
  const probed = name === null ? null : await probe(`/dev/${name}`);
  return {
    mountPoint: mount.mountPoint,
    type: mount.type,
    readOnly: options.includes("ro"),
    options,
    device: sysfs === null ? "none" : await deviceKind(sysfs),
    uuid: probed?.fileSystem?.uuid ?? null,
    partition: sysfs === null ? null : await readPlace(sysfs, probed?.partitionUuid ?? null),
    isSubtree: mount.root !== "/",
  };
}

/** The path that a boot loader sees. */
export function pathInside(fileSystem: BootFileSystem, path: string): string {
  return `/${relative(fileSystem.mountPoint, path)}`;
}

/** How much an ordinary file of root may take on the file system of a directory. */
export async function availableBytes(directory: string): Promise<number> {
  const facts = await statfs(directory);
  return facts.bavail * facts.bsize;
}

/** The mount that a path lies in (pure): the longest mount point above it, and the last one mounted there. */
export function mountOf(mounts: readonly MountInfo[], path: string): MountInfo {
  const above = mounts.filter(
    ({ mountPoint }) => path === mountPoint || path.startsWith(mountPoint.replace(/\/?$/, "/")),
  );
  const longest = Math.max(...above.map(({ mountPoint }) => mountPoint.length));
  const last = above.findLast(({ mountPoint }) => mountPoint.length === longest);
  if (last === undefined) throw new Error(`nothing is mounted above ${path}`);
  return last;
}

async function deviceKind(sysfs: string): Promise<DeviceKind> {
  const disk = (await readAttribute(sysfs, "partition")) === null ? sysfs : dirname(sysfs);
  if (await isDirectory(join(disk, "dm"))) return "mapped";
  if (await isDirectory(join(disk, "md"))) return "raid";
  return (await isDirectory(join(disk, "bcache"))) ? "mapped" : "plain";
}

async function readPlace(sysfs: string, uuid: string | null): Promise<PartitionPlace | null> {
  const number = await readAttribute(sysfs, "partition");
  const start = await readAttribute(sysfs, "start");
  const size = await readAttribute(sysfs, "size");
  const sectorBytes = await readAttribute(join(dirname(sysfs), "queue"), "logical_block_size");
  if (number === null || start === null || size === null || sectorBytes === null || uuid === null) return null;
  const SYSFS_SECTOR_BYTES = 512;
  const perSector = Number(sectorBytes) / SYSFS_SECTOR_BYTES;
  return { number: Number(number), startLba: Number(start) / perSector, sectors: Number(size) / perSector, uuid };
}
