import { expect, test } from "bun:test";
import type { TargetSelector } from "../../../src/config/schema.ts";
import type { BootInfo } from "../../../src/disk/boot-info.ts";
import { assertSameDisk, checkUnused, chooseTarget, parseSwaps } from "../../../src/disk/guard.ts";
import { type Disk, identityOf } from "../../../src/disk/inventory.ts";
import { parseMountInfo } from "../../../src/disk/mounts.ts";

function disk(name: string, change: Partial<Disk> = {}): Disk {
  return {
    name,
    path: `/dev/${name}`,
    deviceNumber: `8:${name.charCodeAt(2) * 16}`,
    sizeBytes: 500_107_862_016,
    sectorSizeBytes: 512,
    serial: `SER-${name}`,
    wwn: `0x5000c500${name}`,
    model: "Samsung SSD 860", // cut after 16 characters, the last of which was a space
    transport: "ata",
    removable: false,
    byPath: `pci-0000:00:1f.2-ata-${name.charCodeAt(2) - 96}`,
    readOnly: false,
    diskSequence: name.charCodeAt(2),
    partitions: [1, 2].map((number) => ({
      name: `${name}${number}`,
      path: `/dev/${name}${number}`,
      number,
      deviceNumber: `8:${name.charCodeAt(2) * 16 + number}`,
      startBytes: number * 1024 ** 3,
      sizeBytes: 1024 ** 3,
      readOnly: false,
    })),
    holders: [],
    ...change,
  };
}

const sda = disk("sda");
const sdb = disk("sdb", { sizeBytes: 1_000_204_886_016, model: "WDC WD10" });
const usb = disk("sdu", { transport: "usb" });
const card = disk("mmcblk0", { transport: "mmc", removable: true });
const disks = [sda, sdb, usb, card];

const info: BootInfo = {
  image_id: "kiosk-7",
  image_version: null,
  primary_disk: "/dev/sda",
  os_partition: "2",
  initrd: "",
  cmdline: "",
  kernel: "",
  bootloaderid: "",
  disk: identityOf(sda),
  run_id: "",
  image_sha256: "",
  readback_sha256: "",
};
const old = { kind: "old-root", named: false } as const;
const named = { kind: "old-root", named: true } as const;
const match = (properties: Omit<Extract<TargetSelector, { kind: "match" }>, "kind">) =>
  ({ kind: "match", ...properties }) as const;

type Case = [string, TargetSelector, { root?: Disk | null; info?: BootInfo | null; disks?: Disk[] }, string];
const decisions: Case[] = [
  // The disk of the old root.
  ["old root with its own boot info", old, {}, "/dev/sda"],
  ["old root on no disk", old, { root: null }, "refused: more than one"],
  ["old root on a disk that went away", old, { disks: [sdb] }, "refused: more than one"],
  ["old root, no boot info", old, { info: null }, "refused: has no boot info"],
  ["old root written by the operator, no boot info", named, { info: null }, "/dev/sda"],
  ["old root on USB", named, { root: usb, info: null }, "refused: a USB disk"],
  ["old root on an SD card", named, { root: card, info: null }, "refused: removable"],
  // Properties.
  ["serial", match({ serial: "SER-sdb" }), { info: null }, "/dev/sdb"],
  ["serial with space around", match({ serial: " SER-sdb " }), { info: null }, "/dev/sdb"],
  ["serial in other letters", match({ serial: "ser-sdb" }), { info: null }, "refused: no disk matches serial=ser-sdb"],
  ["wwn as lsblk prints it", match({ wwn: "0x5000C500SDB" }), { info: null }, "/dev/sdb"],
  ["wwn as sysfs prints it", match({ wwn: "naa.5000c500sdb" }), { info: null }, "/dev/sdb"],
  ["path", match({ path: "/dev/sdb" }), { info: null }, "/dev/sdb"],
  ["by-path", match({ path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-2" }), { info: null }, "/dev/sdb"],
  [
    "by-path of newer systemd",
    match({ path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-2.0" }),
    { info: null },
    "/dev/sdb",
  ],
  [
    "by-path of the slave",
    match({ path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-2.1" }),
    { info: null },
    "refused: no disk",
  ],
  ["model", match({ model: "WDC WD10" }), { info: null }, "/dev/sdb"],
  ["full model of udev", match({ model: "Samsung_SSD_860_EVO_500GB" }), { info: null, disks: [sda, sdb] }, "/dev/sda"],
  ["a longer model than a short one", match({ model: "WDC WD1000" }), { info: null }, "refused: no disk matches"],
  [
    "model of two",
    match({ model: "Samsung SSD 860" }),
    { info: null },
    "refused: /dev/sda and /dev/sdu and /dev/mmcblk0 both",
  ],
  ["size", match({ sizeBytes: 1_000_204_886_016 }), { info: null }, "/dev/sdb"],
  ["all of them", match({ serial: "SER-sdb", model: "WDC WD10", path: "/dev/sdb" }), { info: null }, "/dev/sdb"],
  ["one that does not fit", match({ serial: "SER-sdb", path: "/dev/sda" }), { info: null }, "refused: no disk matches"],
  [
    "no disks at all",
    match({ serial: "SER-sdb" }),
    { info: null, disks: [] },
    "refused: the disks of this machine are: none",
  ],
  [
    "a wwn where disks have none",
    match({ wwn: "null" }),
    { info: null, disks: [disk("sdc", { wwn: null })] },
    "refused: no disk",
  ],
  // USB and removable.
  ["USB by size", match({ sizeBytes: usb.sizeBytes }), { info: null, disks: [usb] }, "refused: a USB disk"],
  ["USB by model", match({ model: "Samsung SSD 860" }), { info: null, disks: [usb] }, "refused: a USB disk"],
  ["USB by serial", match({ serial: "SER-sdu" }), { info: null }, "/dev/sdu"],
  ["SD card by path", match({ path: "/dev/mmcblk0" }), { info: null }, "/dev/mmcblk0"],
  ["SD card by model", match({ model: "Samsung SSD 860" }), { info: null, disks: [card] }, "refused: removable"],
  // Boot info.
  [
    "another serial",
    old,
    { info: { ...info, disk: { ...identityOf(sda), serial: "X" } } },
    "refused: serial X, not SER-sda",
  ],
  [
    "another serial, named",
    match({ path: "/dev/sda" }),
    { info: { ...info, disk: { ...identityOf(sda), serial: "X" } } },
    "refused: serial X",
  ],
  ["another wwn", named, { info: { ...info, disk: { ...identityOf(sda), wwn: "0x1" } } }, "refused: wwn 0x1"],
  ["another size", named, { info: { ...info, disk: { ...identityOf(sda), sizeBytes: 5 } } }, "refused: 5 bytes, not"],
  [
    "another disk by serial",
    match({ serial: "SER-sdb" }),
    {},
    "refused: is not the disk that the old OS was written to",
  ],
  ["another name, same identity", old, { info: { ...info, primary_disk: "/dev/vda" } }, "/dev/sda"],
  ["a serial unknown before", old, { info: { ...info, disk: { ...identityOf(sda), serial: null } } }, "/dev/sda"],
  [
    "a serial unknown now",
    old,
    { root: disk("sda", { serial: null }), disks: [disk("sda", { serial: null })] },
    "/dev/sda",
  ],
  [
    "neither image nor disk",
    old,
    { info: { ...info, image_id: "", primary_disk: "" } },
    "refused: neither its image nor its disk",
  ],
  ["neither image nor disk, named", named, { info: { ...info, image_id: "", primary_disk: "" } }, "/dev/sda"],
  ["only the image", old, { info: { ...info, primary_disk: "", disk: null } }, "/dev/sda"],
  ["only the disk's name", old, { info: { ...info, image_id: "", disk: null } }, "/dev/sda"],
  [
    "only another disk's name",
    old,
    { info: { ...info, primary_disk: "/dev/vda", disk: null } },
    "refused: was written to /dev/vda",
  ],
  ["only another disk's name, named", named, { info: { ...info, primary_disk: "/dev/vda", disk: null } }, "/dev/sda"],
];
for (const [name, wanted, given, outcome] of decisions) {
  test(`${name}: ${outcome}`, () => {
    const choose = () =>
      chooseTarget(given.disks ?? disks, wanted, {
        oldRootDisk: given.root === undefined ? sda : given.root,
        bootInfo: given.info === undefined ? info : given.info,
      });
    if (!outcome.startsWith("refused: ")) return void expect(choose().path).toBe(outcome);
    expect(choose).toThrow(
      expect.objectContaining({
        code: "target",
        message: expect.stringContaining(outcome.slice("refused: ".length)),
        hint: expect.any(String),
      }),
    );
  });
}

test("a refusal lists every disk with what tells it apart", () => {
  expect(() => chooseTarget(disks, match({ serial: "none" }), { oldRootDisk: null, bootInfo: null })).toThrow(
    "\n  /dev/sdb: ata, 1000.2 GB (1000204886016 bytes), model WDC WD10, serial SER-sdb, wwn 0x5000c500sdb, pci-0000:00:1f.2-ata-2\n",
  );
});

test("every mount, swap and holder on the disk is listed, and nothing else", () => {
  const minor = "a".charCodeAt(0) * 16;
  const mounts = parseMountInfo(
    [
      `30 1 8:${minor + 1} / /boot rw,relatime - ext4 /dev/root rw`,
      `31 1 0:44 / /my\\040data rw - btrfs /dev/sda2 rw`,
      `32 1 8:${minor + 17} / /other rw - ext4 /dev/sdb1 rw`,
      "33 1 0:5 / /proc rw - proc proc rw",
    ].join("\n"),
  );
  const swaps = parseSwaps(
    "Filename\t\tType\t\tSize\tUsed\tPriority\n/dev/sda2  partition\t1\t0\t-2\n/dev/sdb2 partition\t1\t0\t-3\n",
  );
  expect(() => checkUnused({ ...sda, holders: ["dm-0"] }, mounts, swaps)).toThrow(
    expect.objectContaining({
      code: "target-busy",
      message:
        "/dev/sda is in use: /dev/root is mounted on /boot; /dev/sda2 is mounted on /my data; /dev/sda2 is swap space in use; /dev/dm-0 is made of it (device-mapper, RAID or loop)",
    }),
  );
  checkUnused(card, mounts, swaps);
});

test("the disk must still be the same disk right before the first write", () => {
  expect(assertSameDisk(sda, disks)).toBe(sda);
  const readOnlyNow = { ...sda, readOnly: true, partitions: [] };
  expect(assertSameDisk(sda, [sdb, readOnlyNow])).toBe(readOnlyNow);
  expect(() => assertSameDisk(sda, [sdb])).toThrow("/dev/sda is gone");
  for (const change of [
    { serial: "other" },
    { wwn: null },
    { sizeBytes: 1 },
    { diskSequence: 999 },
    { sectorSizeBytes: 4096 },
  ]) {
    const [property] = Object.keys(change);
    expect(() => assertSameDisk(sda, [{ ...sda, ...change }])).toThrow(`not the disk that was chosen: ${property} was`);
  }
});
