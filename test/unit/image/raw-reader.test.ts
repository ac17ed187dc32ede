import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { ReimageError } from "../../../src/errors.ts";
import type { ByteSource } from "../../../src/image/byte-source.ts";
import { readEarlyOutline } from "../../../src/image/early-outline.ts";
import type { Segment } from "../../../src/image/manifest/manifest.ts";
import { digestOf, wholePieces } from "../../../src/image/pieces.ts";
import { type OpenImage, openRawReader } from "../../../src/image/raw-reader.ts";
import { seeded } from "../disk/make-tables.ts";

const random = seeded(11);
const raw = Buffer.from(Array.from({ length: 10_000 }, () => random(256)));
const segmentBytes = [1000, 3000, 500, 2500, 3000];

/** An image of several zst frames, in memory, that notes what of it is read. */
function makeImage(content: Buffer, sizes: readonly number[] | null): { image: OpenImage; readBytes: () => number } {
  const segments: Segment[] = [];
  const frames: Buffer[] = [];
  let offsetBytes = 0;
  let rawOffsetBytes = 0;
  for (const rawSizeBytes of sizes ?? [content.length]) {
    const frame = Buffer.from(Bun.zstdCompressSync(content.subarray(rawOffsetBytes, rawOffsetBytes + rawSizeBytes)));
    segments.push({ offsetBytes, sizeBytes: frame.length, rawOffsetBytes, rawSizeBytes });
    frames.push(frame);
    offsetBytes += frame.length;
    rawOffsetBytes += rawSizeBytes;
  }
  const file = Buffer.concat(frames);
  let readBytes = 0;
  const source: ByteSource = {
    name: "os.img.zst",
    sizeBytes: file.length,
    async *read(from, sizeBytes) {
      readBytes += sizeBytes;
      yield file.subarray(from, from + sizeBytes);
    },
    async [Symbol.asyncDispose]() {},
  };
  const image: OpenImage = {
    source,
    format: "zst",
    sizeBytes: content.length,
    segments: sizes === null ? null : segments,
  };
  return { image, readBytes: () => readBytes };
}

const region = (offsetBytes: number, sizeBytes: number) => ({ offsetBytes, sizeBytes });
const cases: [string, readonly { offsetBytes: number; sizeBytes: number }[]][] = [
  ["all of it", [region(0, 10_000)]],
  ["the beginning", [region(0, 10)]],
  ["one segment exactly", [region(1000, 3000)]],
  ["over the edge of two", [region(3990, 20)]],
  ["two that do not touch", [region(500, 100), region(7500, 2500)]],
  ["several in one", [region(1000, 1), region(1500, 1), region(3999, 1)]],
  ["the last byte", [region(9999, 1)]],
];

for (const sizes of [null, segmentBytes, [10_000]]) {
  test.each(cases)(`in ${sizes?.length ?? "no"} segments: %s`, async (_what, wanted) => {
    const { image } = makeImage(raw, sizes);
    await using reader = openRawReader(image, wanted);
    for (const { offsetBytes, sizeBytes } of wanted) {
      const buffer = Buffer.alloc(sizeBytes);
      await reader.readAt(buffer, offsetBytes);
      expect(buffer.equals(raw.subarray(offsetBytes, offsetBytes + sizeBytes))).toBe(true);
    }
    await reader.finish();
  });
}

test("segments without a wanted byte are not even read", async () => {
  const { image, readBytes } = makeImage(raw, segmentBytes);
  await using reader = openRawReader(image, [region(4100, 10)]);
  await reader.readAt(Buffer.alloc(10), 4100);
  await reader.finish();
  expect(readBytes()).toBe(image.segments?.[2]?.sizeBytes as number);
});

async function refusalOf(call: Promise<unknown>): Promise<ReimageError> {
  const thrown = await call.then(
    () => new Error("it succeeded"),
    (error: unknown) => error,
  );
  if (thrown instanceof ReimageError) return thrown;
  throw thrown;
}

test("an image that is shorter or longer than was judged is found out", async () => {
  const { image } = makeImage(raw, null);
  await using short = openRawReader({ ...image, sizeBytes: 10_001 }, []);
  expect((await refusalOf(short.finish())).message).toContain("decodes to fewer bytes");
  await using long = openRawReader({ ...image, sizeBytes: 9_999 }, []);
  expect((await refusalOf(long.finish())).message).toContain("decodes to more bytes");
});

test("a segment that decodes to another size than its manifest says is found out", async () => {
  const { image } = makeImage(raw, segmentBytes);
  const segments = (image.segments ?? []).map((segment) => ({ ...segment }));
  const [first, second] = segments;
  if (first === undefined || second === undefined) throw new Error("no segments");
  const moved = [
    { ...first, rawSizeBytes: 1001 },
    { ...second, rawOffsetBytes: 1001, rawSizeBytes: 2999 },
    ...segments.slice(2),
  ];
  await using reader = openRawReader({ ...image, segments: moved }, [region(0, 1001)]);
  expect((await refusalOf(reader.finish())).message).toContain("decodes to fewer bytes");
});

test("what was left out cannot be asked for", async () => {
  const { image } = makeImage(raw, segmentBytes);
  await using reader = openRawReader(image, [region(0, 10)]);
  expect((await refusalOf(reader.readAt(Buffer.alloc(10), 5000))).code).toBe("bug");
});

/** A disk of 64 MiB with an MBR: two primary partitions, and two logical ones behind each other. */
function makeDisk(): Buffer {
  const MIB = 1 << 20;
  const disk = Buffer.alloc(64 * MIB);
  const entry = (at: number, type: number, startSector: number, sectors: number) => {
    disk.writeUInt8(type, at + 4);
    disk.writeUInt32LE(startSector, at + 8);
    disk.writeUInt32LE(sectors, at + 12);
  };
  const sectors = (mib: number) => mib * 2048;
  const sign = (at: number) => disk.writeUInt16LE(0xaa55, at + 510);
  entry(446, 0x83, sectors(1), sectors(9));
  entry(462, 0x83, sectors(10), sectors(10));
  entry(478, 0x05, sectors(20), sectors(44));
  sign(0);
  entry(20 * MIB + 446, 0x83, sectors(1), sectors(9));
  entry(20 * MIB + 462, 0x05, sectors(20), sectors(24)); // the next link lies at 40 MiB
  sign(20 * MIB);
  entry(40 * MIB + 446, 0x83, sectors(1), sectors(9));
  sign(40 * MIB);
  for (const mib of [1, 10, 21, 41]) disk.fill(`partition at ${mib}`, mib * MIB, mib * MIB + 4096);
  return disk;
}

const segmentsOf = (disk: Buffer) => Array.from({ length: disk.length >> 20 }, () => 1 << 20);

test("an outline that is read by segments is the one that is read from the start", async () => {
  const disk = makeDisk();
  const noise = createHash("sha256").update("noise").digest();
  for (let at = 30 << 20; at < 39 << 20; at += 32) noise.copy(disk, at);
  const whole = makeImage(disk, null);
  const parts = makeImage(disk, segmentsOf(disk));
  const pieces = await Promise.all(
    wholePieces(disk.length).map(async (piece) => {
      const data = disk.subarray(piece.offsetBytes, piece.offsetBytes + piece.sizeBytes);
      return { ...piece, digest: await digestOf("sha256", data) };
    }),
  );
  const wanted = await readEarlyOutline(whole.image, pieces, 512);
  const found = await readEarlyOutline(parts.image, pieces, 512);
  expect(found.reason).toBeNull();
  expect(found.table?.partitions.map(({ number }) => number)).toEqual([1, 2, 3, 5, 6]);
  expect(found.table).toEqual(wanted.table);
  expect(found.head.equals(wanted.head)).toBe(true);
  for (const { startBytes, data } of found.captures) {
    expect(data.equals(disk.subarray(startBytes, startBytes + data.length))).toBe(true);
  }
  // Whoever serves the image cannot show another table than the one that is vouched for, nor another file system.
  for (const at of [450, (20 << 20) + 450, (41 << 20) + 7]) {
    const forged = disk.with(at, (disk[at] ?? 0) ^ 1);
    for (const { image } of [makeImage(Buffer.from(forged), null), makeImage(Buffer.from(forged), segmentsOf(disk))]) {
      expect((await refusalOf(readEarlyOutline(image, pieces, 512))).message).toContain("manifest vouches for");
    }
  }
  // What is in no piece is not written: it is not in the outline either.
  for (const { image } of [whole, parts]) {
    const { table } = await readEarlyOutline(image, pieces.slice(0, 5), 512);
    expect(table?.partitions.map(({ number }) => number) ?? []).not.toContain(5);
  }
});
