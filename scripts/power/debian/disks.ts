/**
 * The disks of the sweep with real systems: the Debian kiosk of `make demo-power`, old and new, started by GRUB. Each has a
 * service that says who the machine is, and switches it off. Needs no root.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { debugfs, type KioskDisk } from "../../demo/kiosk-disk.ts";
import { makeOldKiosk } from "../../demo/old-kiosk.ts";
import { shell } from "../../kiosk/cache.ts";
import { type DiskLayout, layouts, type PartitionLayout } from "../../kiosk/layouts.ts";
import { makeKiosk } from "../../kiosk/make-kiosk.ts";
import type { SystemLayout } from "../disk-check.ts";

const { old: oldLayout, new: newLayout } = layouts["debian-mbr"];

function layoutOf(layout: DiskLayout): SystemLayout {
  const find = (holds: PartitionLayout["holds"]): PartitionLayout => {
    const found = layout.partitions.find((partition) => partition.holds === holds);
    if (found === undefined) throw new Error(`the kiosk has no partition for ${holds}`);
    return found;
  };
  return {
    bootMiB: find("boot").sizeMiB,
    rootStartMiB: find("root").startMiB,
    furtherStartMiB: [find("kiosk").startMiB],
    lasting: "^/usr/",
    attribute: { path: "/var/lib/kiosk/odd/xattrs", name: "user.kiosk.colour", value: "blue" },
  };
}

export const debianLayouts = { old: layoutOf(oldLayout), new: layoutOf(newLayout) };

/** Makes the disks in a folder, which has to be there: the old one, and the image of the new one, raw. */
export async function makeDebianDisks(folder: string): Promise<{ readonly old: string; readonly image: string }> {
  const kiosk = await makeKiosk("debian", "mbr");
  const image = { file: join(folder, "new.img"), layout: newLayout };
  await shell`cp --sparse=always ${kiosk.newImage} ${image.file}`;
  await addService(image, "new", folder);
  const old = await makeOldKiosk({ ...kiosk, newImage: image.file }, folder);
  await addService(old, "old", folder);
  const disk = join(folder, "old.img");
  await shell`mv ${old.file} ${disk}`;
  return { old: disk, image: image.file };
}

async function addService(disk: KioskDisk, system: "old" | "new", folder: string): Promise<void> {
  const unit = join(folder, "sweep-boot.service");
  writeFileSync(
    unit,
    `[Unit]\nAfter=kiosk-identity.service\n\n[Service]\nExecStart=/usr/local/sbin/sweep-boot ${system}\n`,
  );
  const [program, etc] = ["/usr/local/sbin/sweep-boot", "/etc/systemd/system"];
  await debugfs(
    disk,
    "root",
    ...[`write ${join(import.meta.dirname, "sweep-boot")} ${program}`, `sif ${program} mode 0100755`],
    ...[`write ${unit} ${etc}/sweep-boot.service`, `sif ${etc}/sweep-boot.service mode 0100644`],
    `symlink ${etc}/multi-user.target.wants/sweep-boot.service ../sweep-boot.service`,
  );
  await shell`rm ${unit}`;
}
