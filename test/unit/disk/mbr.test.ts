import { expect, test } from "bun:test";
import { type ParsedTable, parsePartitionTable } from "../../../src/disk/partition-table.ts";
import { diskOf, type MbrEntry, mbrSector, seeded } from "./make-tables.ts";

const SIZE = 1024 * 1024 * 1024;
const EXTENDED_START = 10_000;

/** A disk with one primary (sectors 2048–4095), and an extended partition holding the EBRs given by their sector. */
function withLogical(ebrs: Record<number, readonly (MbrEntry | null)[]>, extendedSectors = 100_000, sector = 512) {
  const pieces = new Map<number, Buffer>();
  const primary = { type: 0x83, start: 2048, sectors: 2048, boot: 0x80 };
  pieces.set(0, mbrSector([primary, null, { type: 0x05, start: EXTENDED_START, sectors: extendedSectors }]));
  for (const [lba, entries] of Object.entries(ebrs)) pieces.set(Number(lba) * sector, mbrSector(entries, 0));
  return parsePartitionTable(diskOf(SIZE, pieces), sector);
}

function reason(parsed: ParsedTable): string {
  return parsed.kind === "none" ? parsed.reason : parsed.kind;
}

const data = (start: number, sectors: number): MbrEntry => ({ type: 0x83, start, sectors });
const link = (start: number, sectors: number): MbrEntry => ({ type: 0x05, start, sectors });

for (const sector of [512, 4096]) {
  test(`primary, extended and logical partitions are numbered as Linux does, ${sector}-byte sectors`, () => {
    const parsed = withLogical(
      { [EXTENDED_START]: [data(2048, 1000), link(20_000, 5000)], [EXTENDED_START + 20_000]: [data(63, 4000)] },
      100_000,
      sector,
    );
    if (parsed.kind !== "table") throw new Error(reason(parsed));
    expect(parsed.table.diskId).toBe("12345678");
    expect(parsed.table.lastUsedByteEnd).toBe(110_000 * sector);
    expect(
      parsed.table.partitions.map((p) => [
        p.number,
        p.kind,
        p.startBytes / sector,
        p.sizeBytes / sector,
        p.type,
        p.uuid,
      ]),
    ).toEqual([
      [1, "primary", 2048, 2048, "83", "12345678-01"],
      [3, "extended", 10_000, 100_000, "05", "12345678-03"],
      [5, "logical", 12_048, 1000, "83", "12345678-05"],
      [6, "logical", 30_063, 4000, "83", "12345678-06"],
    ]);
  });
}

test("logical partitions that are not in disk order, as fdisk leaves them, are read in the order of the chain", () => {
  const parsed = withLogical({
    [EXTENDED_START]: [null, link(50_000, 3000)],
    [EXTENDED_START + 50_000]: [data(63, 2000), link(20_000, 3000)],
    [EXTENDED_START + 20_000]: [data(63, 2500)],
  });
  if (parsed.kind !== "table") throw new Error(reason(parsed));
  expect(parsed.table.partitions.slice(2).map((p) => [p.number, p.startBytes / 512])).toEqual([
    [5, 60_063],
    [6, 30_063],
  ]);
});

test("an extended partition that was never used has no logical partitions", () => {
  const parsed = withLogical({});
  if (parsed.kind !== "table") throw new Error(reason(parsed));
  expect(parsed.table.partitions.map((p) => p.number)).toEqual([1, 3]);
});

test("garbage in the third and fourth entry of a logical table is ignored where it points outside", () => {
  const parsed = withLogical({ [EXTENDED_START]: [data(63, 2000), null, data(0xf0000000, 77), data(9, 0xf0000000)] });
  if (parsed.kind !== "table") throw new Error(reason(parsed));
  expect(parsed.table.partitions.map((p) => p.number)).toEqual([1, 3, 5]);
});

test("a chain is followed as its sectors become known", () => {
  const ebr = mbrSector([data(63, 2000)], 0);
  const first = mbrSector([null, { type: 0x0f, start: EXTENDED_START, sectors: 100_000 }]);
  const known = new Map<number, Buffer>([[0, Buffer.concat([first, Buffer.alloc(8192 - 512)])]]);
  const read = (offset: number, length: number) => {
    const piece = known.get(offset);
    return piece !== undefined && piece.length >= length ? piece.subarray(0, length) : null;
  };
  expect(parsePartitionTable(() => null, 512)).toEqual({ kind: "missing", offsetBytes: 0, lengthBytes: 8192 });
  const needed = { kind: "missing", offsetBytes: EXTENDED_START * 512, lengthBytes: 512 } as const;
  expect(parsePartitionTable(read, 512)).toEqual(needed);
  known.set(needed.offsetBytes, ebr);
  expect(parsePartitionTable(read, 512)).toMatchObject({ kind: "table", table: { lastUsedByteEnd: 110_000 * 512 } });
});

const broken: [string, () => ParsedTable, string][] = [
  ["an empty disk", () => parsePartitionTable(diskOf(SIZE, new Map()), 512), "no boot signature"],
  ["no partitions", () => parsePartitionTable(diskOf(SIZE, new Map([[0, mbrSector([])]])), 512), "no partitions"],
  [
    "a FAT boot sector",
    () => parsePartitionTable(diskOf(SIZE, new Map([[0, mbrSector([{ ...data(1, 1), boot: 0x69 }])]])), 512),
    "boot sector of a file system",
  ],
  [
    "a chain in a circle",
    () => withLogical({ 10000: [data(63, 9), link(500, 90)], 10500: [data(63, 9), link(0, 9)] }),
    "comes back",
  ],
  [
    "a link out of the extended partition",
    () => withLogical({ 10000: [data(63, 9), link(100_000, 90)] }),
    "links to byte",
  ],
  ["a link to nothing", () => withLogical({ 10000: [data(63, 9), link(500, 90)] }), "has no signature"],
  [
    "a logical partition that is too long",
    () => withLogical({ 10000: [data(63, 100_000)] }),
    "ends behind the extended",
  ],
  ["a logical partition on its own table", () => withLogical({ 10000: [data(0, 100)] }), "starts at its own"],
  [
    "a logical partition over the next table",
    () => withLogical({ 10000: [data(63, 600), link(500, 90)], 10500: [data(400, 9)] }),
    "covers the logical",
  ],
  [
    "logical partitions that overlap",
    () => withLogical({ 10000: [data(600, 600), link(500, 900)], 10500: [data(200, 9)] }),
    "5 and 6 overlap",
  ],
  [
    "two data entries in a logical table",
    () => withLogical({ 10000: [data(63, 9), data(90, 9)] }),
    "more entries than one",
  ],
];
const primaries: [string, MbrEntry[], string][] = [
  ["primaries that overlap", [data(2048, 100), data(2100, 100)], "1 and 2 overlap"],
  ["a primary inside the extended", [link(2048, 1000), data(2100, 100)], "1 and 2 overlap"],
  ["two extended partitions", [link(2048, 100), link(4096, 100)], "2 extended"],
  ["a partition at sector 0", [data(0, 100)], "starts at the partition table itself"],
  ["a protective entry in the wrong place", [{ type: 0xee, start: 63, sectors: 100 }], "not at sector 1"],
  ["a protective entry without a GPT", [{ type: 0xee, start: 1, sectors: 100 }], "there is no GPT header"],
];
for (const [name, entries, text] of primaries) {
  broken.push([name, () => parsePartitionTable(diskOf(SIZE, new Map([[0, mbrSector(entries)]])), 512), text]);
}
for (const [name, parse, text] of broken) {
  test(`refused: ${name}`, () => {
    expect(reason(parse())).toContain(text);
  });
}

test("2,000 damaged chains never throw, never run forever, and what is accepted lies within its bounds", () => {
  const verdicts = { table: 0, missing: 0, none: 0 };
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seeded(seed);
    const pieces = new Map<number, Buffer>();
    pieces.set(0, mbrSector([data(2048, 2048), { type: 0x0f, start: EXTENDED_START, sectors: 200_000 }]));
    for (let i = 0; i < 12; i++) {
      const next = i < 11 ? link((i + 1) * 4000, 4000) : null;
      pieces.set((EXTENDED_START + i * 4000) * 512, mbrSector([data(63, 3000), next], 0));
    }
    const keys = [...pieces.keys()];
    for (let hits = random(4); hits > 0; hits--) {
      const piece = pieces.get(keys[random(keys.length)] ?? 0);
      if (piece === undefined) continue;
      const offset = 446 + random(66);
      piece.writeUInt8(random(2) === 0 ? random(256) : piece.readUInt8(offset) ^ (1 << random(8)), offset);
    }
    const parsed = parsePartitionTable(diskOf(SIZE, pieces), 512);
    verdicts[parsed.kind]++;
    if (parsed.kind !== "table") continue;
    const { partitions } = parsed.table;
    const extended = partitions.find((p) => p.kind === "extended");
    for (const p of partitions.filter(({ kind }) => kind === "logical")) {
      if (extended === undefined) throw new Error(`seed ${seed}: logical without extended`);
      expect(p.startBytes).toBeGreaterThan(extended.startBytes);
      expect(p.startBytes + p.sizeBytes).toBeLessThanOrEqual(extended.startBytes + extended.sizeBytes);
    }
  }
  expect(verdicts.table).toBeGreaterThan(300);
  expect(verdicts.none).toBeGreaterThan(300);
});
