import { expect, test } from "bun:test";
import type { Disk } from "../../../src/disk/inventory.ts";
import { parseMountInfo } from "../../../src/disk/mounts.ts";
import { isLivedOn } from "../../../src/stages/protect.ts";

const disk: Disk = {
  name: "sda",
  path: "/dev/sda",
  deviceNumber: "8:0",
  sizeBytes: 1 << 30,
  sectorSizeBytes: 512,
  serial: null,
  wwn: null,
  model: null,
  transport: "ata",
  removable: false,
  byPath: null,
  readOnly: false,
  diskSequence: 1,
  partitions: [
    {
      name: "sda1",
      path: "/dev/sda1",
      number: 1,
      deviceNumber: "8:1",
      startBytes: 1 << 20,
      sizeBytes: 1 << 20,
      readOnly: false,
    },
  ],
  holders: [],
};
const mount = (number: string, options: string, source: string) =>
  parseMountInfo(`36 35 ${number} / /mnt ${options} shared:1 - ext4 ${source} rw\n`);

test("a disk that the running system writes to is left alone", () => {
  expect(isLivedOn(disk, mount("8:1", "rw,relatime", "/dev/sda1"), [])).toBe(true);
  expect(isLivedOn(disk, mount("0:30", "rw", "/dev/sda1"), [])).toBe(true); // btrfs has a number of its own
  expect(isLivedOn(disk, mount("8:0", "rw", "/dev/root"), [])).toBe(true);
  expect(isLivedOn(disk, [], [{ path: "/dev/sda1", type: "partition" }])).toBe(true);
  expect(isLivedOn({ ...disk, holders: ["dm-0"] }, [], [])).toBe(true);
});

test("a disk that it only reads, or that it does not use, can be protected", () => {
  expect(isLivedOn(disk, mount("8:1", "ro,relatime", "/dev/sda1"), [])).toBe(false);
  expect(isLivedOn(disk, mount("8:17", "rw", "/dev/sdb1"), [{ path: "/dev/sdb2", type: "partition" }])).toBe(false);
});
