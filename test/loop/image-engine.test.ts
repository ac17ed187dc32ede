/** The engine that writes a disk, on real devices: which bytes it writes, in which order, and what it notices. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import { clearBootSectors, commitHead } from "../../src/image/commit.ts";
import { readBack } from "../../src/image/readback.ts";
import { writePieces } from "../../src/image/write.ts";
import { diskBytes, firstDifference, oldContent, openDisk, readAll } from "../support/filled-disk.ts";
import { judge } from "../support/judged-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";
import { watchDevice } from "../support/watch-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const zeros = (sizeBytes: number) => Buffer.alloc(sizeBytes);
const nothing = () => {};
const quiet = { skip: [], onProgress: nothing };

let base: TemporaryDirectory;

beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

const makeContent = (sizeBytes: number) => noise(`image ${sizeBytes}`, sizeBytes);
const judgeContent = (content: Buffer, digests: "xxh64" | "sha256" | null = "xxh64") =>
  judge(join(base.dir, "image"), content, null, digests);

describe.each([512, 4096])("sectors of %d bytes", (sectorSizeBytes) => {
  test.each([1, 511, 700_000, MIB - 512, MIB, MIB + 1, MIB + 4096, 4 * MIB, 4 * MIB + 1000, 9 * MIB + 777, 12 * MIB])(
    "an image of %d bytes is on the disk, zeros to the end of its last sector, and nothing else has changed",
    async (sizeBytes) => {
      await using disk = await openDisk(sectorSizeBytes);
      const content = makeContent(sizeBytes);
      await using judged = await judgeContent(content);
      const { image } = judged;
      const wanted = Buffer.from(oldContent);
      wanted.fill(0, 0, MIB);
      wanted.fill(0, diskBytes - MIB);
      await clearBootSectors(disk.device);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();

      let progressBytes = 0;
      const onProgress = (bytes: number) => {
        progressBytes += bytes;
      };
      const body = await writePieces(image, image.pieces, disk.device, { skip: [], onProgress });
      expect(progressBytes).toBe(sizeBytes);
      expect(body.head.equals(content.subarray(0, MIB))).toBe(true);
      wanted.fill(0, sizeBytes, Math.ceil(sizeBytes / sectorSizeBytes) * sectorSizeBytes);
      content.subarray(MIB).copy(wanted, MIB);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull(); // the first MiB is zeros still

      let readBytes = 0;
      const read = await readBack(image, body, disk.device, (bytes) => {
        readBytes += bytes;
      });
      expect({ ...read, readBytes }).toEqual({ sha256: image.sha256, wrong: [], readBytes: sizeBytes });

      await commitHead(disk.device, body.head);
      content.copy(wanted);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
    },
  );
});

test("zeros within the image are zeros on a disk that was full of something else", async () => {
  await using disk = await openDisk();
  const content = makeContent(11 * MIB);
  content.fill(0, 4 * MIB, 8 * MIB);
  content.fill(0, 9 * MIB, 10 * MIB);
  await using judged = await judgeContent(content);
  const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
  expect(firstDifference((await readAll(disk.device)).subarray(MIB, 11 * MIB), content.subarray(MIB))).toBeNull();
  expect((await readBack(judged.image, body, disk.device, nothing)).sha256).toBe(judged.image.sha256);
});

test("zeros within the image that a device only claims to have zeroed are noticed, and written at the second attempt", async () => {
  await using disk = await openDisk();
  const content = makeContent(11 * MIB);
  content.fill(0, 4 * MIB, 8 * MIB);
  await using judged = await judgeContent(content);
  const { image } = judged;
  const lying = watchDevice(disk.device, nothing, { async zeroRange() {} });
  const body = await writePieces(image, image.pieces, lying, quiet);
  const { wrong } = await readBack(image, body, lying, nothing);
  expect(wrong.map((piece) => piece.offsetBytes)).toEqual([4 * MIB]);
  await writePieces(image, wrong, lying, { ...quiet, writesZeros: true });
  expect(await readBack(image, body, lying, nothing)).toEqual({ sha256: image.sha256, wrong: [] });
});

test("the first MiB stays zero from the first write to the commit, at every write in between", async () => {
  await using disk = await openDisk();
  await using judged = await judgeContent(makeContent(11 * MIB + 5));
  await clearBootSectors(disk.device);
  let writes = 0;
  const watched = watchDevice(disk.device, async (what, offsetBytes) => {
    writes += 1;
    expect(offsetBytes).toBeGreaterThanOrEqual(what === "write" ? MIB : 0);
    expect(firstDifference((await readAll(disk.device)).subarray(0, MIB), zeros(MIB))).toBeNull();
  });
  const body = await writePieces(judged.image, judged.image.pieces, watched, quiet);
  await readBack(judged.image, body, watched, nothing);
  expect(writes).toBeGreaterThan(6);
});

test("what is counted has reached the device, and the last thing is to flush its cache", async () => {
  await using disk = await openDisk();
  await using judged = await judgeContent(makeContent(11 * MIB));
  const operations: string[] = [];
  let underWay = 0;
  let doneBytes = 0;
  const watched = watchDevice(disk.device, (what) => void operations.push(what), {
    async writeDirectAt(buffer, offsetBytes) {
      underWay += buffer.length;
      await disk.device.writeDirectAt(buffer, offsetBytes);
      underWay -= buffer.length;
      doneBytes += buffer.length;
    },
  });
  let countedBytes = 0;
  const onProgress = (bytes: number) => {
    countedBytes += bytes;
    expect(countedBytes).toBeLessThanOrEqual(doneBytes + MIB); // the first MiB is counted, and not written
  };
  await writePieces(judged.image, judged.image.pieces, watched, { skip: [], onProgress });
  expect({ countedBytes, underWay, last: operations.at(-1) }).toEqual({
    countedBytes: 11 * MIB,
    underWay: 0,
    last: "sync",
  });
});

describe("the bytes that are decoded are not those that were judged", () => {
  const sizeBytes = 9 * MIB;
  const changes: [string, (content: Buffer) => Buffer, RegExp][] = [
    ["one bit", (c) => Buffer.from(c.with(5 * MIB, (c[5 * MIB] ?? 0) ^ 1)), /different bytes/],
    ["one bit of the first MiB", (c) => Buffer.from(c.with(77, (c[77] ?? 0) ^ 1)), /different bytes/],
    ["a byte less", (c) => c.subarray(0, -1), /ended|shorter/],
    ["a piece less", (c) => c.subarray(0, 4 * MIB), /ended|shorter/],
    ["nothing", () => Buffer.alloc(0), /ended|shorter/],
  ];
  test.each(changes)("%s: what differs is not written", async (_what, change, says) => {
    await using disk = await openDisk();
    const content = makeContent(sizeBytes);
    await using judged = await judgeContent(content);
    writeFileSync(judged.path, change(content));
    await clearBootSectors(disk.device);
    const wanted = await readAll(disk.device);
    const refusal = await refusalOf(writePieces(judged.image, judged.image.pieces, disk.device, quiet));
    expect(refusal).toMatchObject({ code: "image", message: expect.stringMatching(says) });
    const found = await readAll(disk.device);
    expect(firstDifference(found.subarray(0, MIB), zeros(MIB))).toBeNull();
    // Each piece is as it was, or as it should be; none holds what nobody has judged.
    for (const { offsetBytes, sizeBytes: pieceBytes } of judged.image.pieces) {
      const at = Math.max(MIB, offsetBytes);
      const here = found.subarray(at, offsetBytes + pieceBytes);
      const isOld = here.equals(wanted.subarray(at, offsetBytes + pieceBytes));
      const isNew = here.equals(content.subarray(at, offsetBytes + pieceBytes));
      expect(isOld || isNew).toBe(true);
    }
  });

  test("an image with one digest only is found out at the readback, before it can boot", async () => {
    await using disk = await openDisk();
    const content = makeContent(sizeBytes);
    await using judged = await judgeContent(content, null);
    writeFileSync(judged.path, content.with(5 * MIB, (content[5 * MIB] ?? 0) ^ 1));
    const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
    const refusal = await refusalOf(readBack(judged.image, body, disk.device, nothing));
    expect(refusal).toMatchObject({ code: "image", message: expect.stringContaining("its manifest vouches for") });
  });
});

describe("the readback names where the device differs", () => {
  const sizeBytes = 9 * MIB + 777;
  test.each([
    [MIB, 0],
    [4 * MIB - 1, 0],
    [4 * MIB, 4 * MIB],
    [sizeBytes - 1, 8 * MIB],
  ])("a bit at byte %d", async (offsetBytes, pieceAt) => {
    await using disk = await openDisk();
    await using judged = await judgeContent(makeContent(sizeBytes));
    await clearBootSectors(disk.device);
    const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
    const byte = Buffer.alloc(1);
    await disk.device.readAt(byte, offsetBytes);
    await disk.device.writeAt(Buffer.of((byte[0] ?? 0) ^ 1), offsetBytes);
    await disk.device.sync();
    const { wrong, sha256 } = await readBack(judged.image, body, disk.device, nothing);
    expect(wrong.map((piece) => piece.offsetBytes)).toEqual([pieceAt]);
    expect(sha256).not.toBe(judged.image.sha256);
  });

  test("a bit behind the image is not its business", async () => {
    await using disk = await openDisk();
    await using judged = await judgeContent(makeContent(sizeBytes));
    const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
    await disk.device.writeAt(Buffer.of(0x77), sizeBytes);
    expect(await readBack(judged.image, body, disk.device, nothing)).toEqual({
      sha256: judged.image.sha256,
      wrong: [],
    });
  });

  test("a head in memory that is not that of the image is noticed too", async () => {
    await using disk = await openDisk();
    await using judged = await judgeContent(makeContent(sizeBytes));
    const body = await writePieces(judged.image, judged.image.pieces, disk.device, quiet);
    const changed = { ...body, head: Buffer.from(body.head.with(3, (body.head[3] ?? 0) ^ 1)) };
    const { wrong } = await readBack(judged.image, changed, disk.device, nothing);
    expect(wrong.map((piece) => piece.offsetBytes)).toEqual([0]);
  });
});

describe("a write that fails", () => {
  test.each([1, 2, 3, 4])("at operation %d names the device, and no write is under way any more", async (failAt) => {
    await using disk = await openDisk();
    await using judged = await judgeContent(makeContent(11 * MIB));
    await clearBootSectors(disk.device);
    let count = 0;
    const failing = watchDevice(disk.device, (what) => {
      count += 1;
      if (count === failAt) throw new ReimageError("device-io", `${what} fails`);
    });
    const writing = writePieces(judged.image, judged.image.pieces, failing, quiet);
    expect(await refusalOf(writing)).toMatchObject({ code: "device-io" });
    expect(firstDifference((await readAll(disk.device)).subarray(0, MIB), zeros(MIB))).toBeNull();
  });
});
