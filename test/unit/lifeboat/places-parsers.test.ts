/** What the kernel says of files, mapped devices, swap and mounts. */
import { describe, expect, test } from "bun:test";
import type { Disk } from "../../../src/disk/disk.ts";
import { parseMountInfo } from "../../../src/disk/mount-info.ts";
import type { PartitionTable } from "../../../src/disk/partition-table.ts";
import { parseDmTable, parseLinear, tableRequest } from "../../../src/lifeboat/places/dm-table.ts";
import { extentFlags, fiemapRequest, findExtentTrouble, parseFiemap } from "../../../src/lifeboat/places/fiemap.ts";
import { choosePlaceDisk } from "../../../src/lifeboat/places/find-disk.ts";
import { findGaps } from "../../../src/lifeboat/places/gap-space.ts";
import { refuseMount } from "../../../src/lifeboat/places/old-file-systems.ts";
import { composeSegments, segmentsWithin, touchedBlocks } from "../../../src/lifeboat/places/segments.ts";
import { canSwitchOff, parseSwapAreas, refuseSwapPage } from "../../../src/lifeboat/places/swap-area.ts";

const MIB = 1 << 20;

describe("FIEMAP", () => {
  const answer = (extents: readonly (readonly [number, number, number, number])[]) => {
    const buffer = fiemapRequest(0, 8);
    buffer.writeUInt32LE(extents.length, 20);
    extents.forEach(([file, device, size, flags], i) => {
      buffer.writeBigUInt64LE(BigInt(file), 32 + i * 56);
      buffer.writeBigUInt64LE(BigInt(device), 40 + i * 56);
      buffer.writeBigUInt64LE(BigInt(size), 48 + i * 56);
      buffer.writeUInt32LE(flags, 72 + i * 56);
    });
    return buffer;
  };

  test("asks for the rest of the file, synced", () => {
    const request = fiemapRequest(4096, 3);
    expect(request.length).toBe(32 + 3 * 56);
    expect([request.readBigUInt64LE(0), request.readUInt32LE(16), request.readUInt32LE(24)]).toEqual([4096n, 1, 3]);
    expect(request.readBigUInt64LE(0) + request.readBigUInt64LE(8)).toBe((1n << 63n) - 1n);
  });

  test("extents in order, addresses beyond 4 GiB", () => {
    expect(
      parseFiemap(
        answer([
          [0, 2 ** 40, 8192, 0],
          [8192, 4096, 4096, 1],
        ]),
      ),
    ).toEqual([
      { fileOffsetBytes: 0, deviceOffsetBytes: 2 ** 40, sizeBytes: 8192, flags: 0 },
      { fileOffsetBytes: 8192, deviceOffsetBytes: 4096, sizeBytes: 4096, flags: 1 },
    ]);
    const lying = answer([]);
    lying.writeUInt32LE(1000, 20); // more than there is room for
    expect(parseFiemap(lying)).toHaveLength(8);
  });

  test.each<[number, string | null]>([
    [0, null],
    [extentFlags.last | extentFlags.merged, null],
    [0x2, "at an unknown address"],
    [0x2 | 0x4, "at an unknown address"],
    [0x4, "not allocated yet"],
    [0x8, "encoded"],
    [0x88, "encoded"],
    [0x200, "among the metadata"],
    [0x800, "allocated but not written"],
    [0x2000, "shared with another file"],
    [0x40000, "flagged 40000, which means nothing to this program"],
  ])("flags %p: %p", (flags, trouble) => {
    expect(
      findExtentTrouble(
        parseFiemap(
          answer([
            [0, 0, 1, 0],
            [0, 0, 1, flags],
          ]),
        ),
      ),
    ).toBe(trouble);
  });

  test("blocks that were only reserved may be so for a while", () => {
    const extents = parseFiemap(answer([[0, 0, 1, extentFlags.unwritten]]));
    expect(findExtentTrouble(extents, extentFlags.unwritten)).toBeNull();
  });
});

describe("device-mapper", () => {
  /** As retrieve_status() of the kernel lays it out: `next` counts from where the data begins. */
  const table = (targets: readonly (readonly [number, number, string, string])[]) => {
    const buffer = tableRequest("253:3", 4096);
    buffer.writeUInt32LE(targets.length, 20);
    let at = 0;
    for (const [start, length, type, parameters] of targets) {
      buffer.writeBigUInt64LE(BigInt(start), 312 + at);
      buffer.writeBigUInt64LE(BigInt(length), 312 + at + 8);
      buffer.write(type, 312 + at + 24, "latin1");
      buffer.write(parameters, 312 + at + 40, "latin1");
      const next = Math.ceil((at + 40 + parameters.length + 1) / 8) * 8;
      buffer.writeUInt32LE(next, 312 + at + 20);
      at = next;
    }
    return buffer;
  };

  test("names the device by its number", () => {
    expect(tableRequest("253:3", 512).readBigUInt64LE(40)).toBe(0xfd03n);
    expect(tableRequest("253:300", 512).readBigUInt64LE(40)).toBe(0x10fd2cn); // minor 0x12c
  });

  test("a volume in three stretches", () => {
    const found = parseDmTable(
      table([
        [0, 8192, "linear", "8:2 2048"],
        [8192, 100, "linear", "8:3 40960"],
        [8292, 8, "crypt", "aes 0 0 8:2 0"],
      ]),
    );
    expect(found).toEqual([
      { startBytes: 0, sizeBytes: 8192 * 512, type: "linear", parameters: "8:2 2048" },
      { startBytes: 8192 * 512, sizeBytes: 100 * 512, type: "linear", parameters: "8:3 40960" },
      { startBytes: 8292 * 512, sizeBytes: 8 * 512, type: "crypt", parameters: "aes 0 0 8:2 0" },
    ]);
    expect(parseDmTable(table([]))).toEqual([]);
  });

  test("an answer that did not fit is asked for again; one that points outside is refused", () => {
    const full = table([[0, 1, "linear", "8:2 0"]]);
    full.writeUInt32LE(1 << 8, 28);
    expect(parseDmTable(full)).toBeNull();
    const wild = table([
      [0, 1, "linear", "8:2 0"],
      [1, 1, "linear", "8:2 9"],
    ]);
    wild.writeUInt32LE(0xffffff00, 312 + 20);
    expect(() => parseDmTable(wild)).toThrow("contradicts itself");
    expect(() => parseDmTable(Buffer.alloc(312, 0).fill(1, 20, 21))).toThrow("contradicts itself");
  });

  test.each<[string, ReturnType<typeof parseLinear>]>([
    ["8:2 2048", { deviceNumber: "8:2", offsetBytes: MIB }],
    ["259:10 0", { deviceNumber: "259:10", offsetBytes: 0 }],
    ["aes-xts-plain64 00ff 0 8:2 4096", null],
    ["8:2 2048 8:3 0", null],
    ["", null],
  ])("linear %p", (parameters, expected) => {
    expect(parseLinear(parameters)).toEqual(expected);
  });
});

describe("segments", () => {
  test("a file on a volume on partitions", () => {
    const file = [{ fromBytes: 0, toBytes: 80, sizeBytes: 40 }];
    const volume = [
      { fromBytes: 0, toBytes: 1000, sizeBytes: 100 },
      { fromBytes: 100, toBytes: 500, sizeBytes: 100 },
    ];
    expect(composeSegments(file, volume)).toEqual([
      { fromBytes: 0, toBytes: 1080, sizeBytes: 20 },
      { fromBytes: 20, toBytes: 500, sizeBytes: 20 },
    ]);
    expect(composeSegments(file, [])).toEqual([]); // on another disk
  });

  test("neighbours are one only where they are so in the file and on the disk", () => {
    const parts = [
      { fromBytes: 10, toBytes: 110, sizeBytes: 10 },
      { fromBytes: 0, toBytes: 100, sizeBytes: 10 },
      { fromBytes: 50, toBytes: 120, sizeBytes: 10 },
    ];
    expect(segmentsWithin(parts, [{ offsetBytes: 105, sizeBytes: 100 }])).toEqual([
      { fromBytes: 5, toBytes: 105, sizeBytes: 15 },
      { fromBytes: 50, toBytes: 120, sizeBytes: 10 },
    ]);
  });

  test("a block that is touched is kept whole, up to the end of the file", () => {
    const parts = [
      { fromBytes: 4000, toBytes: 0, sizeBytes: 200 },
      { fromBytes: 12288, toBytes: 900, sizeBytes: 1 },
    ];
    expect(touchedBlocks(parts, 4096, 13000)).toEqual([
      { offsetBytes: 0, sizeBytes: 8192 },
      { offsetBytes: 12288, sizeBytes: 712 },
    ]);
  });
});

describe("swap", () => {
  const page = (signature: Buffer | string, badPages = 0) => {
    const buffer = Buffer.alloc(4096);
    Buffer.from(signature).copy(buffer, 4086);
    buffer.writeUInt32LE(badPages, 1032);
    return buffer;
  };

  test.each<[string, Buffer, RegExp | null]>([
    ["mkswap", page("SWAPSPACE2"), null],
    ["the old kind", page("SWAP-SPACE"), /no swap signature/],
    ["bad pages", page("SWAPSPACE2", 3), /3 bad pages/],
    ["a sleeping machine (kernel)", page("S1SUSPEND\0"), /sleeps/],
    ["a sleeping machine (uswsusp)", page("S2SUSPEND\0"), /sleeps/],
    ["a sleeping machine (ulsuspend)", page("ULSUSPEND\0"), /sleeps/],
    ["a sleeping machine (2.4)", page("LINHIB0001"), /sleeps/],
    ["a sleeping machine (TuxOnIce)", page(Buffer.from("edc302e99856e50c", "hex")), /sleeps/],
    ["random bytes", Buffer.alloc(4096, 0x5a), /no swap signature \(encrypted/],
    ["zeros", Buffer.alloc(4096), /no swap signature/],
  ])("%s", (_, first, refusal) => {
    const found = refuseSwapPage(first);
    if (refusal === null) expect(found).toBeNull();
    else expect(found).toMatch(refusal);
  });

  test("/proc/swaps", () => {
    const text = `Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/sda2                               partition\t131068\t\t512\t\t-2
/swap\\040file                           file\t\t1024\t\t0\t\t7
`;
    expect(parseSwapAreas(text)).toEqual([
      { path: "/dev/sda2", sizeBytes: 131068 * 1024, usedBytes: 512 * 1024, priority: -2 },
      { path: "/swap file", sizeBytes: MIB, usedBytes: 0, priority: 7 },
    ]);
  });

  test.each<[number, number, boolean]>([
    [0, 0, true],
    [100, 164, true],
    [100, 163, false],
    [4096, 4096, false],
  ])("%p MiB in swap, %p MiB of memory: %p", (used, available, expected) => {
    const area = { path: "/dev/sda2", sizeBytes: 8192 * MIB, usedBytes: used * MIB, priority: -2 };
    expect(canSwitchOff(area, available * MIB)).toBe(expected);
  });
});

test.each<[string, RegExp | null]>([
  ["1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro", null],
  ["1 0 8:1 / / rw - ext4 /dev/sda1 rw,data=ordered", null],
  ["1 0 8:1 / / rw - xfs /dev/sda1 rw,attr2", null],
  ["1 0 8:1 / / rw - ext3 /dev/sda1 rw", null],
  ["1 0 8:1 / / rw - ext4 /dev/sda1 rw,data=journal", /data=journal/],
  ["1 0 8:1 / / ro,relatime - ext4 /dev/sda1 rw", /read-only/],
  ["1 0 8:1 / / rw - ext4 /dev/sda1 ro", /read-only/],
  ["1 0 8:1 / / rw - xfs /dev/sda1 rw,rtdev=/dev/sdb1", /realtime/],
  ["1 0 0:22 / / rw - btrfs /dev/sda1 rw,subvol=/@", /another place/],
  ["1 0 8:1 / / rw - f2fs /dev/sda1 rw", /moves/],
  ["1 0 8:1 / /boot/efi rw - vfat /dev/sda1 rw", /vfat is not known/],
])("a mount %p", (line, expected) => {
  const [mount] = parseMountInfo(line);
  const refusal = mount === undefined ? "not parsed" : refuseMount(mount);
  if (expected === null) expect(refusal).toBeNull();
  else expect(refusal).toMatch(expected);
});

const disk = (changes: Partial<Disk> = {}): Disk => ({
  name: "sda",
  path: "/dev/sda",
  deviceNumber: "8:0",
  sizeBytes: 100 * MIB,
  sectorSizeBytes: 512,
  serial: "K1",
  wwn: null,
  model: "DISK",
  transport: "ata",
  removable: false,
  byPath: null,
  readOnly: false,
  diskSequence: 1,
  partitions: [],
  holders: [],
  ...changes,
});

describe("gaps", () => {
  const partition = (number: number, start: number, end: number, kind: "primary" | "extended" | "logical" | "gpt") => ({
    number,
    startBytes: start * MIB,
    sizeBytes: (end - start) * MIB,
    kind,
    type: "83",
    uuid: "",
    name: null,
  });
  const table = (type: "mbr" | "gpt", partitions: PartitionTable["partitions"]): PartitionTable => ({
    ...{ type, sectorSizeBytes: 512, diskId: "", partitions },
    lastUsedByteEnd: 0,
  });
  const gaps = (found: ReturnType<typeof findGaps>) =>
    found.map(({ offsetBytes, sizeBytes }) => [offsetBytes / MIB, (offsetBytes + sizeBytes) / MIB]);
  const backupAt = (lba: number) => {
    const header = Buffer.alloc(512);
    header.writeBigUInt64LE(BigInt(lba), 32);
    return header;
  };

  test("between partitions, but for both ends of the disk and slivers", () => {
    const mbr = table("mbr", [partition(1, 10, 20, "primary"), partition(2, 20.5, 40, "primary")]);
    expect(gaps(findGaps(disk(), mbr, Buffer.alloc(512)))).toEqual([
      [1, 10],
      [40, 99],
    ]);
  });

  test("nothing inside an extended partition, where sectors lie that the table does not tell", () => {
    const mbr = table("mbr", [
      partition(1, 1, 10, "primary"),
      partition(2, 10, 80, "extended"),
      partition(5, 11, 20, "logical"),
    ]);
    expect(gaps(findGaps(disk(), mbr, Buffer.alloc(512)))).toEqual([[80, 99]]);
  });

  test("nothing that the kernel has as a partition and the table has not", () => {
    const known = {
      name: "sda3",
      number: 3,
      deviceNumber: "8:3",
      startBytes: 50 * MIB,
      sizeBytes: 10 * MIB,
      readOnly: false,
    };
    const mbr = table("mbr", [partition(1, 1, 10, "primary")]);
    const found = findGaps(disk({ partitions: [{ ...known, path: "/dev/sda3" }] }), mbr, Buffer.alloc(512));
    expect(gaps(found)).toEqual([
      [10, 50],
      [60, 99],
    ]);
  });

  test("not the backup of a GPT that lies where a smaller disk ended", () => {
    const gpt = table("gpt", [partition(1, 1, 10, "gpt")]);
    const end = (60 * MIB) / 512 - 1;
    expect(gaps(findGaps(disk(), gpt, backupAt(end)))).toEqual([
      [10, 59],
      [60, 99],
    ]);
    expect(gaps(findGaps(disk(), gpt, backupAt((100 * MIB) / 512 - 1)))).toEqual([[10, 99]]);
  });
});

describe("the disk, found again", () => {
  const { path, sizeBytes, sectorSizeBytes, serial, wwn, model } = disk();
  const identity = { path, sizeBytes, sectorSizeBytes, serial, wwn, model };

  test("under another name", () => {
    const renamed = disk({ path: "/dev/sdb", name: "sdb" });
    expect(choosePlaceDisk([disk({ serial: "K2" }), renamed], identity)).toBe(renamed);
  });

  test("among equals by its name alone, and not at all without", () => {
    const twins = [disk({ path: "/dev/sdb" }), disk()];
    expect(choosePlaceDisk(twins, identity)).toBe(twins[1] as Disk);
    const moved = [disk({ path: "/dev/sdb" }), disk({ path: "/dev/sdc" })];
    expect(() => choosePlaceDisk(moved, identity)).toThrow("is not there");
    expect(() => choosePlaceDisk([disk({ serial: "K2" })], identity)).toThrow("is not there");
  });
});
