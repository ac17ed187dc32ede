/** The disks of this machine, as facts: what sysfs says, read once, never kept up to date. */
import { readFile, readlink, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DiskIdentity } from "../report/events.ts";
import type { Ancestor } from "./by-path.ts";
import type { Disk } from "./disk.ts";
import { DISK_ATTRIBUTES, devicePath, parseDisk, SERIAL_PAGE, type SysfsDisk } from "./parse-disk.ts";
import { blockDeviceName, listDirectory, readAttribute, readKernelPartitions } from "./sysfs.ts";

export type { Disk, DiskPartition, Transport } from "./disk.ts";

/** All disks (no ram, zram, dm, md, optical or floppy devices, no empty card readers, no loops without a file). */
export async function readDisks(): Promise<Disk[]> {
  const gathered = await Promise.all((await listDirectory("/sys/block")).map(readSysfsDisk));
  const disks = gathered.map((facts) =>
    parseDisk({ ...facts, holders: [...facts.holders, ...loopsOn(facts, gathered)] }),
  );
  return disks.filter((disk) => disk !== null);
}

/** The names of the disks below a device, through partitions, device-mapper and md: what `/dev/mapper/vg-root` lies on. */
export async function deviceToDisks(path: string): Promise<string[]> {
  return [...new Set(await disksBelow(await blockDeviceName(path)))].sort();
}

/** What tells a disk from every other one. */
export function identityOf(disk: Disk): DiskIdentity {
  const { path, sizeBytes, sectorSizeBytes, serial, wwn, model } = disk;
  return { path, sizeBytes, sectorSizeBytes, serial, wwn, model };
}

async function disksBelow(name: string): Promise<string[]> {
  const directory = await realpath(`/sys/class/block/${name}`);
  if ((await readAttribute(directory, "partition")) !== null) return await disksBelow(basename(dirname(directory)));
  const below = await listDirectory(join(directory, "slaves"));
  return below.length === 0 ? [name] : (await Promise.all(below.map(disksBelow))).flat();
}

/** Gathers what sysfs says about one disk. What goes away meanwhile has no attributes, which parseDisk leaves out. */
export async function readSysfsDisk(name: string): Promise<SysfsDisk> {
  const directory = join("/sys/block", name);
  const attributes: Record<string, string> = {};
  for (const attribute of DISK_ATTRIBUTES) {
    const value = await readAttribute(directory, attribute);
    if (value !== null) attributes[attribute] = value;
  }
  const page = await readFile(join(directory, SERIAL_PAGE)).catch(() => null); // only SCSI and ATA disks have it
  if (page !== null) attributes[SERIAL_PAGE] = page.toString("hex");
  const partitions = await readKernelPartitions(name);
  const held = [name, ...partitions.map((partition) => `${name}/${partition.name}`)];
  const holders = await Promise.all(held.map((device) => listDirectory(join("/sys/block", device, "holders"))));
  return {
    name,
    attributes,
    ancestors: await readAncestors(directory),
    partitions,
    holders: [...new Set(holders.flat())],
  };
}

async function readAncestors(directory: string): Promise<Ancestor[]> {
  const ancestors: Ancestor[] = [];
  let path = await realpath(directory).catch(() => "");
  for (path = dirname(path); path.startsWith("/sys/devices/"); path = dirname(path)) {
    const [link, uevent] = await Promise.all([
      readlink(join(path, "subsystem")).catch(() => null), // a plain directory between devices has none
      readAttribute(path, "uevent"),
    ]);
    const subsystem = link === null ? null : basename(link);
    const isHost = subsystem === "scsi" && /^host\d+$/.test(basename(path));
    ancestors.push({
      name: basename(path),
      subsystem,
      deviceType: /^DEVTYPE=(.+)$/m.exec(uevent ?? "")?.[1] ?? null,
      ataPort: isHost ? await readAtaPort(dirname(path)) : null,
      firstHost: isHost ? await readFirstHost(dirname(path)) : null,
      usbSerial: subsystem === "usb" ? await readAttribute(path, "serial") : null,
    });
  }
  return ancestors;
}

async function readAtaPort(controllerPath: string): Promise<number | null> {
  const port = await readAttribute(join("/sys/class/ata_port", basename(controllerPath)), "port_no");
  return port === null ? null : Number(port);
}

async function readFirstHost(controllerPath: string): Promise<number> {
  const hosts = (await listDirectory(controllerPath)).flatMap((name) => /^host(\d+)$/.exec(name)?.[1] ?? []);
  return Math.min(...hosts.map(Number));
}

/** Loop devices that are made of a block device are not in its `holders`. */
function loopsOn(disk: SysfsDisk, all: readonly SysfsDisk[]): string[] {
  const paths = [disk.name, ...disk.partitions.map((partition) => partition.name)].map(devicePath);
  return all.filter((other) => paths.includes(other.attributes["loop/backing_file"] ?? "")).map((other) => other.name);
}
