/** The devices that a disk hangs on, and the drivers that this system has for them. */
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A device without whose driver the disk is not there. */
export interface DriverNeed {
  /** Below /sys/devices. */
  readonly device: string;
  /** What modprobe is asked for. */
  readonly alias: string;
  /** Of the running system. */
  readonly driver: string;
}

/**
 * The disk's devices up to the root of the tree: each one that asks for a driver and has one here. PCI bridges are left out:
 * every kernel knows them, and they say so to nobody.
 * @param sysfs where it is mounted
 */
export async function readDriverNeeds(diskName: string, sysfs = "/sys"): Promise<DriverNeed[]> {
  const root = join(sysfs, "devices");
  const start = await realpath(join(sysfs, "block", diskName)).catch(() => null);
  const needs = new Map<string, DriverNeed>();
  for (const leaf of start === null ? [] : [start, ...(await nvmeControllers(start))]) {
    for (let path = leaf; path.startsWith(`${root}/`); path = dirname(path)) {
      const need = await readNeed(root, path);
      if (need !== null) needs.set(path, need);
    }
  }
  return [...needs.values()];
}

async function readNeed(root: string, path: string): Promise<DriverNeed | null> {
  const uevent = (await readFile(join(path, "uevent"), "utf8").catch(() => null)) ?? "";
  const alias = /^MODALIAS=(.+)$/m.exec(uevent)?.[1];
  const link = await readlink(join(path, "driver")).catch(() => null);
  if (alias === undefined || link === null || /^pci:.*bc06/.test(alias)) return null;
  return { device: path.slice(root.length + 1), alias, driver: basename(link) };
}

/** An NVMe disk with several paths lies below a virtual device that links to its controllers (nvme-subsystem). */
async function nvmeControllers(path: string): Promise<string[]> {
  const parent = dirname(path);
  if (!/\/nvme-subsys\d+$/.test(parent)) return [];
  const names = (await readdir(parent)).filter((name) => /^nvme\d+$/.test(name));
  return await Promise.all(names.map((name) => realpath(join(parent, name))));
}
