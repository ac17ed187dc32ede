/** The engine with a block map: what is mapped is written, what is not reads as zero, and regions can be left alone. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { readBack } from "../../src/image/readback.ts";
import type { Region } from "../../src/image/regions.ts";
import { subtractRegions } from "../../src/image/regions.ts";
import { writePieces } from "../../src/image/write.ts";
import { readAsZero, writeZeros, zeroRegions } from "../../src/image/zeros.ts";
import { diskBytes, firstDifference, oldContent, openDisk, readAll } from "../support/filled-disk.ts";
import { judge, sha256Hex } from "../support/judged-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";
import { watchDevice } from "../support/watch-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const KIB = 1 << 10;
const MIB = 1 << 20;
const nothing = () => {};
const quiet = { skip: [], onProgress: nothing };
const region = (offsetBytes: number, endBytes: number): Region => ({ offsetBytes, sizeBytes: endBytes - offsetBytes });

const mapped = [
  region(0, 64 * KIB),
  region(2 * MIB, 3 * MIB + 8 * KIB),
  region(3 * MIB + 8 * KIB, 4 * MIB), // touches the one before
  region(6 * MIB + 4 * KIB, 10 * MIB + 4 * KIB), // as large as a piece may be
  region(11 * MIB, 11 * MIB + 4 * KIB),
];
const imageBytes = 11 * MIB + 512 * KIB;
const content = Buffer.alloc(imageBytes);
for (const { offsetBytes, sizeBytes } of mapped) noise(`at ${offsetBytes}`, sizeBytes).copy(content, offsetBytes);

let base: TemporaryDirectory;
beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

const judgeMapped = () => judge(join(base.dir, "image"), content, mapped);

test.each([512, 4096])("mapped ranges alone are written, on sectors of %d bytes", async (sectorSizeBytes) => {
  await using disk = await openDisk(sectorSizeBytes);
  await using judged = await judgeMapped();
  const writtenAt: number[] = [];
  const watched = watchDevice(disk.device, (what, offsetBytes) => {
    if (what === "write") writtenAt.push(offsetBytes);
  });
  const body = await writePieces(judged.image, judged.image.pieces, watched, quiet);
  const wanted = Buffer.from(oldContent);
  for (const { offsetBytes, sizeBytes } of mapped.slice(1)) {
    content.copy(wanted, offsetBytes, offsetBytes, offsetBytes + sizeBytes);
  }
  expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
  expect(writtenAt.toSorted((a, b) => a - b)).toEqual(mapped.slice(1).map(({ offsetBytes }) => offsetBytes));
  expect(body.head.equals(content.subarray(0, MIB))).toBe(true);

  await zeroRegions(judged.image.zeros, disk.device, nothing);
  content.copy(wanted, 64 * KIB, 64 * KIB);
  expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
  expect(await readAsZero(judged.image.zeros, disk.device)).toBe(true);
});

test("pieces can be written in any order, a few at a time", async () => {
  await using disk = await openDisk();
  await using judged = await judgeMapped();
  const { pieces } = judged.image;
  for (const few of [pieces.slice(3), pieces.slice(1, 2), pieces.slice(0, 1), pieces.slice(2, 3)]) {
    await writePieces(judged.image, few, disk.device, quiet);
  }
  const wanted = Buffer.from(oldContent);
  for (const { offsetBytes, sizeBytes } of mapped.slice(1)) {
    content.copy(wanted, offsetBytes, offsetBytes, offsetBytes + sizeBytes);
  }
  expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
});

test("the readback's digest is that of the digests in the block map", async () => {
  await using disk = await openDisk();
  await using judged = await judgeMapped();
  const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
  const { sha256, wrong } = await readBack(judged.image, body, disk.device, nothing);
  const digests = mapped.map(({ offsetBytes, sizeBytes }) => content.subarray(offsetBytes, offsetBytes + sizeBytes));
  expect(wrong).toEqual([]);
  expect(sha256).toBe(sha256Hex(Buffer.concat(digests.map((data) => Buffer.from(sha256Hex(data), "hex")))));
});

test("pieces that read back wrong can be written again, and they alone", async () => {
  await using disk = await openDisk();
  await using judged = await judgeMapped();
  const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
  await disk.device.writeAt(Buffer.alloc(512, 0x11), 3 * MIB);
  await disk.device.writeAt(Buffer.alloc(512, 0x11), 11 * MIB);
  await disk.device.sync();
  const first = await readBack(judged.image, body, disk.device, nothing);
  expect(first.wrong.map(({ offsetBytes }) => offsetBytes)).toEqual([2 * MIB, 11 * MIB]);
  const writtenAt: number[] = [];
  const watched = watchDevice(disk.device, (what, offsetBytes) => {
    if (what === "write") writtenAt.push(offsetBytes);
  });
  await writePieces(judged.image, first.wrong, watched, quiet);
  expect(writtenAt.toSorted((a, b) => a - b)).toEqual([2 * MIB, 11 * MIB]);
  expect((await readBack(judged.image, body, disk.device, nothing)).wrong).toEqual([]);
});

describe("regions that must not be touched", () => {
  const parked = [region(4 * MIB, 6 * MIB), region(10 * MIB + 4 * KIB, 10 * MIB + 8 * KIB)];

  test("stay as they are while everything around them is written", async () => {
    await using disk = await openDisk();
    await using judged = await judgeMapped();
    await writePieces(judged.image, judged.image.pieces, disk.device, { skip: parked, onProgress: nothing });
    await zeroRegions(subtractRegions(judged.image.zeros, parked), disk.device, nothing);
    const found = await readAll(disk.device);
    for (const { offsetBytes, sizeBytes } of parked) {
      const here = found.subarray(offsetBytes, offsetBytes + sizeBytes);
      expect(firstDifference(here, oldContent.subarray(0, sizeBytes))).toBeNull();
    }
    expect(firstDifference(found.subarray(6 * MIB, 10 * MIB), content.subarray(6 * MIB, 10 * MIB))).toBeNull();
  });

  test.each([
    ["the last byte of a piece", region(4 * MIB - 1, 5 * MIB)],
    ["the first byte of a piece", region(5 * MIB, 6 * MIB + 4 * KIB + 1)],
    ["the inside of a piece", region(7 * MIB, 7 * MIB + 512)],
  ])("an image with content on %s is refused before anything is written", async (_what, touched) => {
    await using disk = await openDisk();
    await using judged = await judgeMapped();
    const writing = writePieces(judged.image, judged.image.pieces, disk.device, {
      skip: [touched],
      onProgress: nothing,
    });
    expect((await refusalOf(writing)).message).toContain("must not be written");
    expect(firstDifference(await readAll(disk.device), oldContent)).toBeNull();
  });
});

describe("zeros", () => {
  const regions = [region(2 * MIB, 8 * MIB), region(9 * MIB, 9 * MIB + 512), region(10 * MIB, diskBytes)];

  test("zeroing changes these regions, and nothing else", async () => {
    await using disk = await openDisk();
    let doneBytes = 0;
    await zeroRegions(regions, disk.device, (bytes) => {
      doneBytes += bytes;
    });
    const wanted = Buffer.from(oldContent);
    for (const { offsetBytes, sizeBytes } of regions) wanted.fill(0, offsetBytes, offsetBytes + sizeBytes);
    expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
    expect(doneBytes).toBe(8 * MIB + 512);
  });

  test.each([2 * MIB, 6 * MIB + 100, 8 * MIB - 1, 9 * MIB, diskBytes - 1])(
    "a device that did not clear byte %d is found out",
    async (offsetBytes) => {
      await using disk = await openDisk();
      await zeroRegions(regions, disk.device, nothing);
      expect(await readAsZero(regions, disk.device)).toBe(true);
      await disk.device.writeAt(Buffer.of(1), offsetBytes);
      await disk.device.sync();
      expect(await readAsZero(regions, disk.device)).toBe(false);
    },
  );

  test("a device that only claims to clear gets zeros written, and all of them read back", async () => {
    await using disk = await openDisk();
    const lying = watchDevice(disk.device, nothing, { zeroRange: async () => {} });
    await zeroRegions(regions, lying, nothing);
    expect(await readAsZero(regions, lying)).toBe(false);
    await writeZeros(regions, lying, nothing);
    expect(await readAsZero(regions, disk.device)).toBe(true);

    const deaf = watchDevice(disk.device, nothing, { writeDirectAt: async () => {} });
    await disk.device.writeAt(Buffer.of(1), 5 * MIB);
    await disk.device.sync();
    expect(await refusalOf(writeZeros(regions, deaf, nothing))).toMatchObject({ code: "readback" });
  });
});
