import { expect, test } from "bun:test";
import {
  detectGptSectorSize,
  type ParsedTable,
  parsePartitionTable,
  relocateGpt,
} from "../../../src/disk/partition-table.ts";
import { ReimageError } from "../../../src/errors.ts";
import { diskOf, type GptOptions, gptHead, seeded, signHeader } from "./make-tables.ts";

const MIB = 1024 * 1024;
const partitions = [
  { slot: 1, firstLba: 2048, lastLba: 4095, name: "EFI System" },
  { slot: 3, firstLba: 4096, lastLba: 8191, name: "Wurzel ü 🦜" },
];
const small: GptOptions = { sector: 512, diskSectors: 10_000 };

function parse(head: Buffer, sector = 512): ParsedTable {
  return parsePartitionTable(diskOf(1024 * MIB, new Map([[0, head]])), sector);
}

function reason(parsed: ParsedTable): string {
  return parsed.kind === "none" ? parsed.reason : parsed.kind;
}

/** A head with one field of the header changed and signed again. */
function withField(change: (header: Buffer) => void): Buffer {
  const head = gptHead(partitions, small);
  change(head.subarray(512, 1024));
  signHeader(head, 512);
  return head;
}

for (const sector of [512, 4096] as const) {
  test(`partitions, names and GUIDs, ${sector}-byte sectors`, () => {
    const head = gptHead(partitions, { sector, diskSectors: 10_000 });
    expect(detectGptSectorSize(head)).toBe(sector);
    const parsed = parse(head, sector);
    if (parsed.kind !== "table") throw new Error(reason(parsed));
    expect(parsed.table).toEqual({
      type: "gpt",
      sectorSizeBytes: sector,
      diskId: "33221100-5544-7766-8899-aabbccddeeff",
      lastUsedByteEnd: 8192 * sector,
      partitions: [
        {
          number: 1,
          startBytes: 2048 * sector,
          sizeBytes: 2048 * sector,
          kind: "gpt",
          type: "0fc63daf-8483-4772-8e79-3d69d8477de4",
          uuid: "00000000-0000-0000-0000-000000000001",
          name: "EFI System",
        },
        {
          number: 3,
          startBytes: 4096 * sector,
          sizeBytes: 4096 * sector,
          kind: "gpt",
          type: "0fc63daf-8483-4772-8e79-3d69d8477de4",
          uuid: "00000000-0000-0000-0000-000000000003",
          name: "Wurzel ü 🦜",
        },
      ],
    });
  });
}

test("a GPT for the other sector size is refused by name", () => {
  const four = gptHead(partitions, { sector: 4096, diskSectors: 10_000 });
  expect(reason(parse(four, 512))).toContain("made for sectors of 4096 bytes, not 512");
  expect(reason(parse(gptHead(partitions, small), 4096))).toContain("made for sectors of 512 bytes, not 4096");
});

test("in a hybrid MBR the GPT counts", () => {
  const head = gptHead(partitions, { ...small, hybrid: { type: 0x83, start: 4096, sectors: 4096 } });
  expect(parse(head)).toMatchObject({ kind: "table", table: { type: "gpt" } });
});

test("entries far behind the header are asked for", () => {
  const far = gptHead(partitions, { ...small, diskSectors: 100_000, entriesLba: 1024 });
  far.writeBigUInt64LE(4096n, 512 + 72);
  signHeader(far, 512);
  const head = far.subarray(0, MIB);
  const parsed = parsePartitionTable(
    (offset, length) => (offset + length <= MIB ? head.subarray(offset, offset + length) : null),
    512,
  );
  expect(parsed).toEqual({ kind: "missing", offsetBytes: 4096 * 512, lengthBytes: 128 * 128 });
  expect(() => relocateGpt(head, 512, 1024 * MIB)).toThrow("lie behind the first 1048576 bytes");
});

const broken: [string, Buffer, string][] = [
  ["a flipped bit in the header", flip(gptHead(partitions, small), 512 + 60), "header is corrupt"],
  ["a flipped bit in the entries", flip(gptHead(partitions, small), 1024 + 200), "entries of its GPT are corrupt"],
  ["no signature", flip(gptHead(partitions, small), 512), "there is no GPT header"],
  ["a GPT without protective MBR", gptHead(partitions, small).fill(0, 0, 512), "no protective MBR"],
  ["entries of 256 bytes", gptHead(partitions, { ...small, entryBytes: 256 }), "entries of 256 bytes"],
  ["a header of 20 bytes", withField((h) => h.writeUInt32LE(20, 12)), "impossible size of 20"],
  [
    "the backup header in the primary's place",
    withField((h) => h.writeBigUInt64LE(9999n, 24)),
    "does not belong to sector 1",
  ],
  ["billions of entries", withField((h) => h.writeUInt32LE(0xffffffff, 80)), "room for 4294967295 partitions"],
  ["sectors beyond any disk", withField((h) => h.writeBigUInt64LE(2n ** 63n, 48)), "behind the end of any disk"],
  ["entries over the MBR", withField((h) => h.writeBigUInt64LE(0n, 72)), "contradicts itself"],
  ["no partitions", gptHead([], small), "no partitions"],
  ["overlap", gptHead([...partitions, { slot: 4, firstLba: 8000, lastLba: 8300 }], small), "3 and 4 overlap"],
  [
    "a partition that ends before it starts",
    gptHead([{ slot: 2, firstLba: 99, lastLba: 98 }], small),
    "ends before it starts",
  ],
  ["a partition over the table", gptHead([{ slot: 2, firstLba: 10, lastLba: 98 }], small), "outside the range"],
  ["a partition over the backup", gptHead([{ slot: 2, firstLba: 99, lastLba: 9999 }], small), "outside the range"],
];
for (const [name, head, text] of broken) {
  test(`refused: ${name}`, () => {
    expect(reason(parse(head))).toContain(text);
  });
}

function flip(head: Buffer, offset: number): Buffer {
  head.writeUInt8(head.readUInt8(offset) ^ 1, offset);
  return head;
}

for (const sector of [512, 4096] as const) {
  test(`the GPT moves to the end of a larger disk, ${sector}-byte sectors`, () => {
    const head = gptHead(partitions, { sector, diskSectors: 10_000 });
    const before = Buffer.from(head);
    const diskSizeBytes = 50_000 * sector + 100;
    const moved = relocateGpt(head, sector, diskSizeBytes);
    expect(head.equals(before)).toBe(true);
    expect(moved.head.equals(gptHead(partitions, { sector, diskSectors: 50_000 }))).toBe(true);
    expect(moved.backupOffsetBytes + moved.backup.length).toBe(50_000 * sector);
    expect(parse(moved.head, sector)).toEqual(parse(head, sector));
  });
}

test("a disk of the same size gets the same head", () => {
  const head = gptHead(partitions, small);
  expect(relocateGpt(head, 512, 10_000 * 512).head.equals(head)).toBe(true);
});

test("a smaller disk is fine while the partitions and the backup fit, and refused one sector below", () => {
  const head = gptHead(partitions, small);
  const least = (8192 + 33) * 512;
  expect(relocateGpt(head, 512, least).backupOffsetBytes).toBe(8192 * 512);
  expect(() => relocateGpt(head, 512, least - 512)).toThrow(expect.objectContaining({ code: "too-small" }));
});

test("a hybrid MBR stays as it is", () => {
  const hybrid = { type: 0x83, start: 4096, sectors: 4096 };
  const head = gptHead(partitions, { ...small, hybrid });
  const moved = relocateGpt(head, 512, 50_000 * 512);
  expect(moved.head.subarray(0, 512).equals(head.subarray(0, 512))).toBe(true);
});

test("2,000 damaged heads: a parse never throws, a relocation throws nothing but ReimageError", () => {
  const verdicts = { table: 0, missing: 0, none: 0 };
  const original = gptHead(partitions, small).subarray(0, 40_000);
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seeded(seed);
    const head = Buffer.from(original);
    for (let hits = random(3); hits > 0; hits--) {
      const offset = random(4) === 0 ? 440 + random(72) : 512 + random(random(2) === 0 ? 92 : 1000);
      head.writeUInt8(random(256), offset);
    }
    if (random(2) === 0) head.writeUInt32LE(0, 512 + 16);
    if (random(2) === 0) signHeader(head, 512);
    const parsed = parse(head);
    verdicts[parsed.kind]++;
    try {
      relocateGpt(head, 512, random(2) === 0 ? 5_000_000 : 500_000_000);
    } catch (error) {
      if (!(error instanceof ReimageError)) throw error;
      expect(["partition-table", "too-small"]).toContain(error.code);
    }
  }
  expect(verdicts.table).toBeGreaterThan(200);
  expect(verdicts.none).toBeGreaterThan(200);
});
