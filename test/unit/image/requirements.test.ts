import { describe, expect, test } from "bun:test";
import type { FileSystem } from "../../../src/disk/find-filesystem.ts";
import { ReimageError } from "../../../src/errors.ts";
import { createOutlineCollector, type ImageOutline, type OutlinedPartition } from "../../../src/image/outline.ts";
import { findPartition, requirePartitions, requireTable } from "../../../src/image/requirements.ts";
import { gptHead, mbrSector } from "../disk/make-tables.ts";

const MIB = 1 << 20;

function refusal(call: () => void): ReimageError | null {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof ReimageError && error.hint !== undefined) return error;
    throw error;
  }
}

function outlineOf(head: Buffer, sectorSizeBytes = 512): ImageOutline {
  const collector = createOutlineCollector(sectorSizeBytes);
  collector.accept(Buffer.concat([head], MIB));
  return collector.finish();
}

describe("the table", () => {
  /** One partition from 1 to 8 MiB. */
  const mbr = outlineOf(mbrSector([{ type: 0x83, start: 2048, sectors: 7 * 2048 }]));
  /** The same, on a disk of 8 MiB and the 33 sectors of the backup. */
  const gpt = outlineOf(
    gptHead([{ slot: 1, firstLba: 2048, lastLba: 16383 }], { sector: 512, diskSectors: 16384 + 33 }),
  );
  const backupBytes = 33 * 512;
  const judge = (outline: ImageOutline, imageBytes: number, diskBytes: number, sectorSizeBytes = 512) =>
    refusal(() => requireTable(outline, "os.img", imageBytes, { sizeBytes: diskBytes, sectorSizeBytes }));

  test("one that fits exactly", () => {
    expect(judge(mbr, 8 * MIB, 8 * MIB)).toBeNull();
    expect(judge(gpt, 8 * MIB + backupBytes, 8 * MIB + backupBytes)).toBeNull();
    expect(judge(gpt, 8 * MIB, 64 * MIB)).toBeNull(); // the backup is made anew, at the end of the disk
  });
  test("one that reaches beyond the disk", () => {
    expect(judge(mbr, 8 * MIB, 8 * MIB - 512)).toMatchObject({
      code: "too-small",
      message: `the partitions of image os.img reach to byte ${8 * MIB}, the target disk only to ${8 * MIB - 512}`,
    });
  });
  test("one that reaches beyond the image", () => {
    expect(judge(mbr, 8 * MIB - 1, 16 * MIB)).toMatchObject({
      code: "image",
      message: `image os.img is cut off: its partitions reach to byte ${8 * MIB}, the image only to ${8 * MIB - 1}`,
    });
  });
  test("a GPT whose backup does not fit behind its partitions", () => {
    expect(judge(gpt, 8 * MIB, 8 * MIB + backupBytes - 512)).toMatchObject({
      code: "too-small",
      message: expect.stringContaining("the backup of its GPT"),
    });
  });
  test("one for other sectors", () => {
    expect(judge(gpt, 9 * MIB, 16 * MIB, 4096)).toMatchObject({
      code: "partition-table",
      message: "image os.img was made for sectors of 512 bytes, the target disk has sectors of 4096",
    });
  });
  test("an MBR for sectors of 512 bytes, read as one for 4096", () => {
    const partition = { type: 0x83, start: 2048, sectors: 7 * 2048 };
    const misread = outlineOf(mbrSector([partition]), 4096);
    expect(judge(misread, 8 * MIB, 1024 * MIB, 4096)).toMatchObject({
      code: "partition-table",
      message: "image os.img was made for sectors of 512 bytes, the target disk has sectors of 4096",
    });
    expect(judge(misread, 64 * MIB, 1024 * MIB, 4096)).toBeNull(); // it fits
  });
  test("none", () => {
    expect(judge(outlineOf(Buffer.alloc(MIB)), 8 * MIB, 8 * MIB)).toMatchObject({
      code: "partition-table",
      message: "image os.img has no usable partition table: its first sector has no boot signature (55 aa)",
    });
  });
});

describe("the partitions that the configuration names", () => {
  const holds = (type: string, label: string | null = null): FileSystem => ({ type, label, uuid: `UUID-${type}` });
  function partition(
    number: number,
    fileSystem: FileSystem | null,
    more: Partial<OutlinedPartition> = {},
  ): OutlinedPartition {
    const place = { startBytes: number * MIB, sizeBytes: MIB, type: "83", uuid: `cafe-0${number}` };
    return { number, kind: "primary", name: null, wasSeen: true, fileSystem, ...place, ...more };
  }
  const partitions = [
    partition(1, holds("vfat", "EFI")),
    partition(2, holds("ext4", "root"), { name: "system" }),
    partition(3, null),
    partition(4, null, { kind: "extended" }),
    partition(5, holds("swap", "swap")),
    partition(6, holds("xfs", "root2")),
  ];
  const judge = (spec: string, of: readonly OutlinedPartition[] = partitions) =>
    refusal(() => requirePartitions(of, [{ key: "new.root", spec }], "os.img"));

  test.each(["1", "2", "6", "LABEL=root", "UUID=uuid-xfs", "PARTLABEL=system", "PARTUUID=CAFE-02"])(
    "%s is found",
    (spec) => {
      expect(judge(spec)).toBeNull();
    },
  );
  test.each([
    ["3", /partition 3 of image os\.img, at byte 3145728, holds no known file system/],
    ["5", /partition 5 of image os\.img, at byte 5242880, holds swap/],
    [
      "4",
      /new\.root: image os\.img has no partition 4; it has 1 \(vfat, EFI\), 2 \(ext4, root\), 3 \(unknown\), 4 \(extended\)/,
    ],
    ["22", /has no partition 22/],
    ["LABEL=Root", /has no partition LABEL=Root/], // labels are compared as they are
    ["PARTLABEL=System", /has no partition PARTLABEL=System/],
  ])("%s is refused", (spec, says) => {
    expect(judge(spec)).toMatchObject({ code: "image", message: expect.stringMatching(says) });
  });
  test("two of the same label are refused, with the numbers by which they differ", () => {
    const twins = [partition(1, holds("ext4", "root")), partition(2, holds("ext4", "root"))];
    expect(judge("LABEL=root", twins)).toMatchObject({
      message: "new.root: LABEL=root names 2 partitions of image os.img",
      hint: expect.stringContaining("1 (ext4, root), 2 (ext4, root)"),
    });
  });
  test("what was not seen is left to be looked at on the disk", () => {
    const unseen = [...partitions, partition(7, null, { wasSeen: false })];
    expect(judge("7", unseen)).toBeNull();
    expect(judge("LABEL=behind", unseen)).toBeNull();
    expect(judge("PARTUUID=cafe-99", unseen)).toMatchObject({ code: "image" }); // that is in the table itself
    expect(findPartition(unseen, "LABEL=behind")).toEqual([]);
  });
});
