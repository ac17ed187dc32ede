import { expect, test } from "bun:test";
import { findDiskAgain } from "../../../src/disk/guard.ts";
import type { Disk } from "../../../src/disk/inventory.ts";

const disk = (change: Partial<Disk>): Disk => ({
  name: "sda",
  path: "/dev/sda",
  deviceNumber: "8:0",
  sizeBytes: 1e12,
  sectorSizeBytes: 512,
  serial: "S1",
  wwn: null,
  model: "MODEL",
  transport: "ata",
  removable: false,
  byPath: null,
  readOnly: false,
  diskSequence: 1,
  partitions: [],
  holders: [],
  ...change,
});
const before = disk({});
const moved = { name: "sdb", path: "/dev/sdb", deviceNumber: "8:16", diskSequence: 7 };

test("a written disk that comes back under another name and number is found by its serial number", () => {
  const other = disk({ serial: "S2", diskSequence: 6 });
  expect(findDiskAgain(before, [other, disk(moved)]).path).toBe("/dev/sdb");
});

test("by its WWN too", () => {
  const known = disk({ serial: null, wwn: "naa.5" });
  expect(findDiskAgain(known, [disk({ ...moved, serial: null, wwn: "naa.5" })]).path).toBe("/dev/sdb");
});

test("a disk that does not say who it is must not have changed at all", () => {
  const nameless = disk({ serial: null });
  expect(findDiskAgain(nameless, [nameless])).toEqual(nameless);
  expect(() => findDiskAgain(nameless, [disk({ ...moved, serial: null })])).toThrow("is gone");
  expect(() => findDiskAgain(nameless, [disk({ serial: null, diskSequence: 7 })])).toThrow(
    "not the disk that was chosen",
  );
});

test("another size, another disk, or two with the same serial number are refused", () => {
  expect(() => findDiskAgain(before, [disk({ ...moved, sizeBytes: 2e12 })])).toThrow("is gone");
  expect(() => findDiskAgain(before, [disk({ serial: "S2", diskSequence: 6 })])).toThrow(
    "not the disk that was chosen",
  );
  expect(() => findDiskAgain(before, [disk(moved), disk({ ...moved, path: "/dev/sdc" })])).toThrow("is gone");
});
