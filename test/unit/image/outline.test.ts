import { describe, expect, test } from "bun:test";
import { createOutlineCollector, type ImageOutline } from "../../../src/image/outline.ts";
import { type GptEntry, gptHead, mbrSector, seeded } from "../disk/make-tables.ts";

const MIB = 1 << 20;
const CAPTURED = 128 << 10;

/** A disk of numbered sectors, so that every sector is known from every other, with tables laid over it. */
function makeDisk(sizeBytes: number, pieces: readonly (readonly [number, Buffer])[]): Buffer {
  const disk = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 512) disk.writeUInt32LE(at / 512, at + 16);
  for (const [offsetBytes, piece] of pieces) piece.copy(disk, offsetBytes);
  return disk;
}

const sector = (mib: number) => mib * 2048;

/** Primary partitions at 1, 2 and 8 MiB; an extended one at 16 with logical ones at 17, 40 and 70 MiB. */
const mbrDisk = makeDisk(80 * MIB, [
  [
    0,
    mbrSector([
      { type: 0x83, start: sector(1), sectors: sector(1) },
      { type: 0x82, start: sector(2), sectors: sector(6) },
      { type: 0x83, start: sector(8), sectors: sector(8) },
      { type: 0x05, start: sector(16), sectors: sector(64) },
    ]),
  ],
  [
    16 * MIB,
    mbrSector([
      { type: 0x83, start: sector(1), sectors: sector(20) },
      { type: 0x05, start: sector(23), sectors: sector(20) },
    ]),
  ],
  [
    39 * MIB,
    mbrSector([
      { type: 0x83, start: sector(1), sectors: sector(20) },
      { type: 0x05, start: sector(53), sectors: sector(11) },
    ]),
  ],
  [69 * MIB, mbrSector([{ type: 0x83, start: sector(1), sectors: sector(10) }])],
]);
const mbrStarts: [number, number][] = [
  [1, 1],
  [2, 2],
  [3, 8],
  [5, 17],
  [6, 40],
  [7, 70],
];

function gptDisk(sectorBytes: 512 | 4096): Buffer {
  const lba = (mib: number) => (mib * MIB) / sectorBytes;
  const partitions: GptEntry[] = [
    { slot: 1, firstLba: lba(1), lastLba: lba(2) - 1, name: "boot" },
    { slot: 2, firstLba: lba(2), lastLba: lba(30) - 1, name: "root" },
    { slot: 5, firstLba: lba(30), lastLba: lba(39) - 1, name: "kiosk" },
  ];
  const diskSectors = lba(40);
  return makeDisk(40 * MIB, [[0, gptHead(partitions, { sector: sectorBytes, diskSectors })]]);
}
const gptStarts: [number, number][] = [
  [1, 1],
  [2, 2],
  [5, 30],
];

/** Feeds a disk in pieces; `sizes` gives the size of each. Stops where nothing that comes matters, if asked. */
function collect(
  disk: Buffer,
  sizes: () => number,
  options: { isEarly?: boolean; sectorBytes?: number } = {},
): ImageOutline {
  const collector = createOutlineCollector(options.sectorBytes ?? 512);
  for (let at = 0; at < disk.length; ) {
    const piece = disk.subarray(at, at + sizes());
    collector.accept(piece);
    at += piece.length;
    if (options.isEarly === true && collector.isComplete()) break;
  }
  return collector.finish();
}

/** Which partitions were caught, with the right bytes: `[number, MiB]` of each. */
function caught(outline: ImageOutline, disk: Buffer): [number, number][] {
  return (outline.table?.partitions ?? []).flatMap(({ number, startBytes, kind }): [number, number][] => {
    if (kind === "extended") return [];
    const isCaught = outline.captures.some((capture) => {
      const from = startBytes - capture.startBytes;
      return (
        from >= 0 &&
        from + CAPTURED <= capture.data.length &&
        capture.data.subarray(from, from + CAPTURED).equals(disk.subarray(startBytes, startBytes + CAPTURED))
      );
    });
    return isCaught ? [[number, startBytes / MIB]] : [];
  });
}

/** Nothing but the bytes of the disk is in any capture: a hole would be taken for an empty partition. */
function expectOnlyDisk(outline: ImageOutline, disk: Buffer): void {
  for (const { startBytes, data } of outline.captures) {
    const there = disk.subarray(startBytes, startBytes + data.length);
    expect({ startBytes, isDisk: data.subarray(0, there.length).equals(there) }).toEqual({ startBytes, isDisk: true });
  }
}

/** Sizes of pieces, repeatable. */
const sizesOf: [string, () => () => number][] = [
  ["10,000 bytes", () => () => 10_000],
  ["64 KiB", () => () => 65536],
  ["1 MiB", () => () => MIB],
  ["4 MiB", () => () => 4 * MIB],
  ["all at once", () => () => 1 << 30],
  ...[1, 2, 3].map((seed): [string, () => () => number] => [
    `odd sizes (seed ${seed})`,
    () => {
      const random = seeded(seed);
      return () => 1 + random(300_000);
    },
  ]),
];

describe.each(sizesOf)("in pieces of %s", (_name, sizes) => {
  test("every partition of an MBR is caught, logical ones far into the image too", () => {
    const outline = collect(mbrDisk, sizes());
    expect(outline.reason).toBeNull();
    expect(caught(outline, mbrDisk)).toEqual(mbrStarts);
    expectOnlyDisk(outline, mbrDisk);
    expect(outline.head.equals(mbrDisk.subarray(0, MIB))).toBe(true);
  });

  test.each([512, 4096] as const)("every partition of a GPT with sectors of %d bytes is caught", (sectorBytes) => {
    const disk = gptDisk(sectorBytes);
    const outline = collect(disk, sizes());
    expect(outline.table).toMatchObject({ type: "gpt", sectorSizeBytes: sectorBytes });
    expect(caught(outline, disk)).toEqual(gptStarts);
    expectOnlyDisk(outline, disk);
  });

  test("it is complete only when nothing that comes matters", () => {
    const outline = collect(mbrDisk, sizes(), { isEarly: true });
    expect(caught(outline, mbrDisk)).toEqual(mbrStarts);
  });
});

describe("what is not caught is said to be not there", () => {
  const small = () => 65536;
  test("a chain of logical partitions that goes backwards", () => {
    const disk = makeDisk(60 * MIB, [
      [
        0,
        mbrSector([
          { type: 0x83, start: sector(1), sectors: sector(1) },
          { type: 0x05, start: sector(8), sectors: sector(50) },
        ]),
      ],
      [
        8 * MIB,
        mbrSector([
          { type: 0x83, start: sector(1), sectors: sector(1) },
          { type: 0x05, start: sector(40), sectors: sector(5) },
        ]),
      ],
      [
        48 * MIB,
        mbrSector([
          { type: 0x83, start: sector(1), sectors: sector(1) },
          { type: 0x05, start: sector(20), sectors: sector(5) },
        ]),
      ],
      [28 * MIB, mbrSector([{ type: 0x83, start: sector(1), sectors: sector(1) }])],
    ]);
    const outline = collect(disk, small);
    expect(outline).toMatchObject({ table: null, reason: `its table goes backwards, to byte ${28 * MIB}` });
    expectOnlyDisk(outline, disk);
  });

  test("a logical partition that begins far behind its own table", () => {
    const disk = makeDisk(60 * MIB, [
      [0, mbrSector([{ type: 0x05, start: sector(8), sectors: sector(50) }])],
      [
        8 * MIB,
        mbrSector([
          { type: 0x83, start: sector(4), sectors: sector(4) },
          { type: 0x05, start: sector(40), sectors: sector(5) },
        ]),
      ],
      [48 * MIB, mbrSector([{ type: 0x83, start: sector(1), sectors: sector(1) }])],
    ]);
    const outline = collect(disk, small);
    expect(caught(outline, disk)).toEqual([[6, 49]]);
    expectOnlyDisk(outline, disk);
  });
});

describe("images without a table", () => {
  test.each([
    ["nothing", 0, "it ends at byte 0, before its table does"],
    ["a few bytes", 100, "it ends at byte 100, before its table does"],
    ["a sector with a table, and nothing else", 512, "it ends at byte 512, before its table does"],
    ["no chain of logical partitions", 9 * MIB, `it ends at byte ${9 * MIB}, before its table does`],
  ])("%s", (_what, sizeBytes, reason) => {
    expect(collect(mbrDisk.subarray(0, sizeBytes), () => 65536)).toMatchObject({ table: null, reason });
  });
  test("zeros", () => {
    const outline = collect(Buffer.alloc(3 * MIB), () => 65536);
    expect(outline).toMatchObject({ table: null, reason: "its first sector has no boot signature (55 aa)" });
  });
  test("an image smaller than a MiB with a table", () => {
    const disk = makeDisk(512 << 10, [[0, mbrSector([{ type: 0x83, start: 64, sectors: 512 }])]]);
    const outline = collect(disk, () => 1000);
    expect(outline.table?.partitions).toHaveLength(1);
    expect(outline.head.equals(disk)).toBe(true);
  });
});
