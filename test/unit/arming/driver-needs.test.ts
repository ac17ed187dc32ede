/** On trees as sysfs has them; the paths and aliases are of real machines. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDriverNeeds } from "../../../src/arming/driver-needs.ts";

interface Device {
  readonly path: string;
  readonly alias?: string;
  readonly driver?: string;
}

const nvme = "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02";
const bridge = "pci:v00008086d0000A33Csv00001028sd00000869bc06sc04i00";
const vmd = "pci:v00008086d0000201Dsv00000000sd00000000bc01sc04i00";

/** Makes the devices, and a disk that links to `disk`. */
async function needsOf(devices: readonly Device[], disk: string, links: Readonly<Record<string, string>> = {}) {
  const sysfs = mkdtempSync(join(tmpdir(), "reimage-sysfs-"));
  try {
    for (const { path, alias, driver } of devices) {
      mkdirSync(join(sysfs, "devices", path), { recursive: true });
      writeFileSync(
        join(sysfs, "devices", path, "uevent"),
        `DRIVER=x\n${alias === undefined ? "" : `MODALIAS=${alias}\n`}`,
      );
      if (driver !== undefined) symlinkSync(`../../bus/any/drivers/${driver}`, join(sysfs, "devices", path, "driver"));
    }
    for (const [path, target] of Object.entries(links)) symlinkSync(target, join(sysfs, "devices", path));
    mkdirSync(join(sysfs, "devices", disk), { recursive: true });
    mkdirSync(join(sysfs, "block"));
    symlinkSync(`../devices/${disk}`, join(sysfs, "block/disk"));
    return (await readDriverNeeds("disk", sysfs)).map(({ alias, driver }) => `${driver} ${alias}`);
  } finally {
    rmSync(sysfs, { recursive: true });
  }
}

test("an NVMe disk behind a VMD controller needs both drivers, and none for the bridges", async () => {
  const root = "pci0000:00/0000:00:0e.0";
  const devices = [
    { path: root, alias: vmd, driver: "vmd" },
    { path: `${root}/pci10000:e0/10000:e0:1d.0`, alias: bridge, driver: "pcieport" },
    { path: `${root}/pci10000:e0/10000:e0:1d.0/10000:e1:00.0`, alias: nvme, driver: "nvme" },
  ];
  const disk = `${root}/pci10000:e0/10000:e0:1d.0/10000:e1:00.0/nvme/nvme0/nvme0n1`;
  expect(await needsOf(devices, disk)).toEqual([`nvme ${nvme}`, `vmd ${vmd}`]);
});

test("a USB disk needs the drivers of the disk, of its interface and of the controller", async () => {
  const controller = "pci0000:00/0000:00:14.0";
  const [xhci, storage] = [
    "pci:v00008086d0000A36Dsv00001028sd00000869bc0Csc03i30",
    "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00",
  ];
  const port = `${controller}/usb1/1-1`;
  const scsi = `${port}/1-1:1.0/host6/target6:0:0/6:0:0:0`;
  const devices = [
    { path: controller, alias: xhci, driver: "xhci_hcd" },
    { path: port, driver: "usb" },
    { path: `${port}/1-1:1.0`, alias: storage, driver: "usb-storage" },
    { path: `${port}/1-1:1.1`, alias: "usb:v0781p5581d0100dc00dsc00dp00ic03isc00ip00in01", driver: "usbhid" }, // beside it
    { path: scsi, alias: "scsi:t-0x00", driver: "sd" },
  ];
  expect(await needsOf(devices, `${scsi}/block/sdb`)).toEqual([
    "sd scsi:t-0x00",
    `usb-storage ${storage}`,
    `xhci_hcd ${xhci}`,
  ]);
});

test("what asks for a driver and has none here is not needed", async () => {
  const path = "LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00";
  const disk = `${path}/f8b3781a-1e82-4818-a1c3-63d806ec15bb`;
  const devices = [
    { path: "LNXSYSTM:00", alias: "acpi:LNXSYSTM:" },
    { path, alias: "acpi:VMBUS:VMBus:", driver: "vmbus" },
    { path: disk, alias: "vmbus:d96361baa104294db60572e2ffb1dc7f", driver: "hv_storvsc" },
  ];
  expect(await needsOf(devices, `${disk}/host0/target0:0:0/0:0:0:0/block/sda`)).toEqual([
    "hv_storvsc vmbus:d96361baa104294db60572e2ffb1dc7f",
    "vmbus acpi:VMBUS:VMBus:",
  ]);
});

test("an NVMe disk with several paths needs the drivers of each", async () => {
  const controller = "pci0000:00/0000:00:1d.0/0000:02:00.0";
  const subsystem = "virtual/nvme-subsystem/nvme-subsys0";
  const devices = [
    { path: controller, alias: nvme, driver: "nvme" },
    { path: `${controller}/nvme/nvme0` },
    { path: subsystem },
  ];
  const links = { [`${subsystem}/nvme0`]: `../../../${controller}/nvme/nvme0` };
  expect(await needsOf(devices, `${subsystem}/nvme0n1`, links)).toEqual([`nvme ${nvme}`]);
});

test("a loop device needs none", async () => {
  expect(await needsOf([], "virtual/block/loop0")).toEqual([]);
});
