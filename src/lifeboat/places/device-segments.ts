/** How a block device of the old OS lies on the target disk: partitions, and logical volumes of LVM. */
import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Disk } from "../../disk/disk.ts";
import { readAttribute } from "../../disk/sysfs.ts";
import { ReimageError } from "../../errors.ts";
import { parseLinear, readDmTable } from "./dm-table.ts";
import { composeSegments, type Segment } from "./segments.ts";

const sysfsSectorBytes = 512;

/**
 * The stretches of a device (its name in /sys/class/block) that lie on the disk; what lies on other disks is left out.
 * @throws ReimageError `lifeboat` with the reason where a byte of the device has no fixed place of its own on a disk.
 */
export async function readDeviceSegments(name: string, disk: Disk): Promise<Segment[]> {
  if (name === disk.name) return [{ fromBytes: 0, toBytes: 0, sizeBytes: disk.sizeBytes }];
  const directory = await realpath(join("/sys/class/block", name));
  const sizeBytes = Number(await readAttribute(directory, "size")) * sysfsSectorBytes;
  if ((await readAttribute(directory, "partition")) !== null) {
    const toBytes = Number(await readAttribute(directory, "start")) * sysfsSectorBytes;
    const below = await readDeviceSegments(basename(dirname(directory)), disk);
    return composeSegments([{ fromBytes: 0, toBytes, sizeBytes }], below);
  }
  if (name.startsWith("dm-")) return await readMappedSegments(name, directory, disk);
  if (name.startsWith("md")) throw refused(name, "it is a RAID");
  return []; // another disk
}

async function readMappedSegments(name: string, directory: string, disk: Disk): Promise<Segment[]> {
  const deviceNumber = await readAttribute(directory, "dev");
  const segments: Segment[] = [];
  for (const target of await readDmTable(deviceNumber ?? "")) {
    const linear = target.type === "linear" ? parseLinear(target.parameters) : null;
    if (linear === null)
      throw refused(name, `device-mapper makes it with "${target.type}", and only "linear" is simple`);
    const below = await readDeviceSegments(await blockName(linear.deviceNumber), disk);
    const over = { fromBytes: target.startBytes, toBytes: linear.offsetBytes, sizeBytes: target.sizeBytes };
    segments.push(...composeSegments([over], below));
  }
  return segments;
}

/** The name in /sys/class/block of `major:minor`. */
export async function blockName(deviceNumber: string): Promise<string> {
  return basename(await realpath(join("/sys/dev/block", deviceNumber)));
}

function refused(name: string, reason: string): ReimageError {
  return new ReimageError("lifeboat", `/dev/${name} has no fixed place on one disk: ${reason}`);
}
