/** The texts of the kernel, blkid and lvm. */
import { expect, test } from "bun:test";
import { parseVolumeGroups } from "../../../src/disk/lvm.ts";
import { parseMountInfo } from "../../../src/disk/mounts.ts";
import { parseProbe } from "../../../src/disk/probe.ts";

test("mountinfo: optional fields, octal escapes, and lines that are none", () => {
  const text = [
    "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue",
    "40 35 0:50 / /my\\040data\\134x ro - btrfs /dev/sda\\0401 ro",
    "garbage",
    "",
  ].join("\n");
  expect(parseMountInfo(text)).toEqual([
    {
      deviceNumber: "98:0",
      root: "/mnt1",
      mountPoint: "/mnt2",
      type: "ext3",
      source: "/dev/root",
      options: "rw,noatime",
      superOptions: "rw,errors=continue",
    },
    {
      deviceNumber: "0:50",
      root: "/",
      mountPoint: "/my data\\x",
      type: "btrfs",
      source: "/dev/sda 1",
      options: "ro",
      superOptions: "ro",
    },
  ]);
});

test("blkid: encoded labels and partition names", () => {
  const text = [
    "ID_FS_LABEL=my_root",
    "ID_FS_LABEL_ENC=my\\x20root\\x24ü",
    "ID_FS_UUID_ENC=d2c85f0e-0000",
    "ID_FS_TYPE=ext4",
    "ID_PART_ENTRY_NAME=Wurzel\\x20\\xc3\\xbc",
    "ID_PART_ENTRY_UUID=11111111-aaaa",
  ].join("\n");
  expect(parseProbe(text)).toEqual({
    fileSystem: { type: "ext4", label: "my root$ü", uuid: "d2c85f0e-0000" },
    partitionLabel: "Wurzel ü",
    partitionUuid: "11111111-aaaa",
  });
  expect(parseProbe("ID_PART_TABLE_TYPE=dos\n")).toEqual({
    fileSystem: null,
    partitionLabel: null,
    partitionUuid: null,
  });
});

test("lvm: a group is read-only when all its active volumes are, and foreign when one is not", () => {
  const text = [
    "  none||writeable",
    "  ours|active|read-only-override",
    "  ours||writeable",
    "  theirs|active|read-only-override",
    "  theirs|active|writeable",
    "  unknown|unknown|unknown",
    "",
  ].join("\n");
  expect(parseVolumeGroups(text)).toEqual([
    { name: "none", state: "inactive" },
    { name: "ours", state: "read-only" },
    { name: "theirs", state: "foreign" },
    { name: "unknown", state: "inactive" },
  ]);
});
