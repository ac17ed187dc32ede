/** Disks of QEMU under Linux 6.1, as sysfs showed them; `udevPaths` is what udev 252 called them there. */
import { expect, test } from "bun:test";
import { isSameByPath } from "../../../src/disk/by-path.ts";
import { parseDisk, type SysfsDisk } from "../../../src/disk/parse-disk.ts";
import captured from "../../fixtures/disk/sysfs-disks.json" with { type: "json" };

const cases = captured as readonly { case: string; udevPaths: readonly string[]; sysfs: SysfsDisk }[];

function sysfsOf(name: string): SysfsDisk {
  const found = cases.find((candidate) => candidate.case === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found.sysfs;
}

const GIB = 1024 ** 3;
const expected: Record<string, object> = {
  sata: {
    path: "/dev/sdc",
    deviceNumber: "8:32",
    sizeBytes: GIB,
    serial: "ATA-SER-0",
    wwn: "0x5000c50012345678",
    model: "SOME LONG ATA MO", // sysfs has no more of it
    transport: "ata",
    removable: false,
    byPath: "pci-0000:00:1f.2-ata-1",
  },
  "ide-slave": {
    serial: "IDE-SLAVE",
    wwn: null,
    model: "QEMU HARDDISK",
    transport: "ata",
    byPath: "pci-0000:00:03.0-ata-1.1",
  },
  nvme: {
    path: "/dev/nvme0n1",
    serial: "NVME-SER-0",
    wwn: "nvme.1b36-4e564d452d5345522d30-51454d55204e564d65204374726c-00000001",
    model: "QEMU NVMe Ctrl",
    transport: "nvme",
    byPath: "pci-0000:00:04.0-nvme-1",
  },
  virtio: {
    path: "/dev/vda",
    serial: "VIRTIO-SER-0",
    wwn: null,
    model: null,
    transport: "virtio",
    byPath: "pci-0000:00:05.0",
  },
  "virtio-4k": { sizeBytes: GIB, sectorSizeBytes: 4096, serial: "VIRTIO-4K" },
  "virtio-scsi": { serial: "SCSI-SER-0", wwn: "0x5000c500aabbccdd", model: "DISK 3000", transport: "scsi" },
  usb: { serial: "USB-SER-0", transport: "usb", removable: false },
  "usb-removable-behind-hub": { serial: "USB-STICK", transport: "usb", removable: true },
  "sd-card": {
    path: "/dev/mmcblk0",
    serial: "0xdeadbeef",
    model: "QEMU!",
    transport: "mmc",
    removable: true,
    byPath: null,
  },
};

for (const { case: name, udevPaths, sysfs } of cases) {
  test(`${name}: identity, size and connection`, () => {
    expect(parseDisk(sysfs)).toMatchObject(expected[name] ?? { unexpected: name });
  });

  test(`${name}: the same path as udev's`, () => {
    const byPath = parseDisk(sysfs)?.byPath ?? null;
    expect(byPath === null).toBe(udevPaths.length === 0);
    if (byPath !== null) expect(isSameByPath(udevPaths[0] ?? "", byPath)).toBe(true);
  });
}

test("partitions come with their nodes", () => {
  const disk = parseDisk(sysfsOf("nvme"));
  expect(disk?.partitions.map((p) => [p.number, p.path])).toEqual([
    [1, "/dev/nvme0n1p1"],
    [5, "/dev/nvme0n1p5"],
  ]);
});

test("a USB disk without a serial number does not borrow that of the hub", () => {
  const usb = sysfsOf("usb");
  const ancestors = usb.ancestors.map((a) => (a.usbSerial === "USB-SER-0" ? { ...a, usbSerial: null } : a));
  expect(ancestors.some((a) => a.usbSerial !== null)).toBe(true); // the root hub's
  const { "device/vpd_pg80": _, ...attributes } = usb.attributes;
  expect(parseDisk({ ...usb, attributes, ancestors })?.serial).toBeNull();
});

test("a binary serial page that is cut, or of another page, gives no serial number", () => {
  const sata = sysfsOf("sata");
  for (const page of ["", "0080", "0083000841414141"]) {
    const attributes = { ...sata.attributes, "device/vpd_pg80": page };
    expect(parseDisk({ ...sata, attributes })?.serial).toBeNull();
  }
});

test("what is no disk, or has no medium, is left out", () => {
  const virtio = sysfsOf("virtio");
  for (const name of [
    "ram0",
    "zram0",
    "dm-3",
    "md127",
    "md_d0",
    "sr0",
    "fd0",
    "mmcblk0boot0",
    "mmcblk1rpmb",
    "loop4",
  ]) {
    expect([name, parseDisk({ ...virtio, name })]).toEqual([name, null]);
  }
  const without = (change: Record<string, string>) =>
    parseDisk({ ...virtio, attributes: { ...virtio.attributes, ...change } });
  expect(without({ size: "0" })).toBeNull();
  expect(without({ hidden: "1" })).toBeNull();
  const loop = {
    ...virtio,
    name: "loop4",
    ancestors: [],
    attributes: { ...virtio.attributes, "loop/backing_file": "/x" },
  };
  expect(parseDisk(loop)).toMatchObject({ transport: "loop", byPath: null });
});

test("a disk whose kernel name has a slash in its node", () => {
  const virtio = sysfsOf("virtio");
  expect(parseDisk({ ...virtio, name: "cciss!c0d0" })?.path).toBe("/dev/cciss/c0d0");
});
