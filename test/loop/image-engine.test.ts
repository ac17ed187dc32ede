/** The engine that writes a disk, on real devices: which bytes it writes, in which order, and what it notices. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import { clearBootSectors, commitHead } from "../../src/image/commit.ts";
import { readBack } from "../../src/image/readback.ts";
import { type JudgedImage, writeBody } from "../../src/image/write.ts";
import { diskBytes, firstDifference, oldContent, openDisk, readAll } from "../support/filled-disk.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";
import { watchDevice } from "../support/watch-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const zeros = (sizeBytes: number) => Buffer.alloc(sizeBytes);
const nothing = () => {};

let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

/** A raw image of noise, judged. */
function makeImage(sizeBytes: number): { image: JudgedImage; content: Buffer } {
  const content = noise(`image ${sizeBytes}`, sizeBytes);
  writeFileSync(at("image"), content);
  const sha256 = createHash("sha256").update(content).digest("hex");
  return { image: { path: at("image"), format: "raw", sizeBytes, sha256 }, content };
}

describe.each([512, 4096])("sectors of %d bytes", (sectorSizeBytes) => {
  test.each([1, 511, 700_000, MIB - 512, MIB, MIB + 1, MIB + 4096, 4 * MIB, 4 * MIB + 1000, 9 * MIB + 777, 12 * MIB])(
    "an image of %d bytes is on the disk, and nothing else of the disk has changed",
    async (sizeBytes) => {
      await using disk = await openDisk(sectorSizeBytes);
      const { image, content } = makeImage(sizeBytes);
      const wanted = Buffer.from(oldContent);
      wanted.fill(0, 0, MIB);
      wanted.fill(0, diskBytes - MIB);
      await clearBootSectors(disk.device);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();

      let progressBytes = 0;
      const body = await writeBody(image, disk.device, (bytes) => {
        progressBytes += bytes;
      });
      expect(progressBytes).toBe(sizeBytes);
      expect(body.head.equals(content.subarray(0, MIB))).toBe(true);
      content.subarray(MIB).copy(wanted, MIB);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull(); // the first MiB is zeros still

      let readBytes = 0;
      const sha256 = await readBack(image, body, disk.device, (bytes) => {
        readBytes += bytes;
      });
      expect({ sha256, readBytes }).toEqual({ sha256: image.sha256, readBytes: sizeBytes });

      await commitHead(disk.device, body.head);
      content.copy(wanted);
      expect(firstDifference(await readAll(disk.device), wanted)).toBeNull();
    },
  );
});

test("the first MiB stays zero from the first write to the commit, at every write in between", async () => {
  await using disk = await openDisk();
  const { image } = makeImage(11 * MIB + 5);
  await clearBootSectors(disk.device);
  let writes = 0;
  const watched = watchDevice(disk.device, async (what, offsetBytes) => {
    writes += 1;
    expect(offsetBytes).toBeGreaterThanOrEqual(what === "write" ? MIB : 0);
    expect(firstDifference((await readAll(disk.device)).subarray(0, MIB), zeros(MIB))).toBeNull();
  });
  const body = await writeBody(image, watched, nothing);
  await readBack(image, body, watched, nothing);
  expect(writes).toBeGreaterThan(6);
});

describe("the bytes that are decoded are not those that were judged", () => {
  const judged = 9 * MIB;
  test.each([
    ["one bit", (content: Buffer) => content.with(5 * MIB, (content[5 * MIB] ?? 0) ^ 1), /different bytes/],
    ["one bit of the first MiB", (content: Buffer) => content.with(77, (content[77] ?? 0) ^ 1), /different bytes/],
    ["a byte less", (content: Buffer) => content.subarray(0, -1), /shorter bytes/],
    ["a chunk less", (content: Buffer) => content.subarray(0, 4 * MIB), /shorter bytes/],
    ["a byte more", (content: Buffer) => Buffer.concat([content, Buffer.of(0)]), /longer bytes/],
    ["nothing", () => Buffer.alloc(0), /shorter bytes/],
  ])("%s", async (_what, change, says) => {
    await using disk = await openDisk();
    const { image, content } = makeImage(judged);
    writeFileSync(image.path, change(content));
    await clearBootSectors(disk.device);
    const refusal = await refusalOf(writeBody(image, disk.device, nothing));
    expect(refusal).toMatchObject({ code: "image", message: expect.stringMatching(says) });
    expect(firstDifference((await readAll(disk.device)).subarray(0, MIB), zeros(MIB))).toBeNull();
  });
});

describe("the readback names where the device differs", () => {
  const sizeBytes = 9 * MIB + 777;
  test.each([
    [MIB, "0 to 4194304"],
    [4 * MIB - 1, "0 to 4194304"],
    [4 * MIB, "4194304 to 8388608"],
    [sizeBytes - 1, `8388608 to ${sizeBytes}`],
  ])("a bit at byte %d", async (offsetBytes, range) => {
    await using disk = await openDisk();
    const { image } = makeImage(sizeBytes);
    await clearBootSectors(disk.device);
    const body = await writeBody(image, disk.device, nothing);
    const byte = Buffer.alloc(1);
    await disk.device.readAt(byte, offsetBytes);
    await disk.device.writeAt(Buffer.of((byte[0] ?? 0) ^ 1), offsetBytes);
    await disk.device.sync();
    const refusal = await refusalOf(readBack(image, body, disk.device, nothing));
    expect(refusal.code).toBe("readback");
    expect(refusal.message).toContain(`${disk.device.path} does not hold what was written to it: bytes ${range}`);
  });

  test("a bit behind the image is not its business", async () => {
    await using disk = await openDisk();
    const { image } = makeImage(sizeBytes);
    await clearBootSectors(disk.device);
    const body = await writeBody(image, disk.device, nothing);
    await disk.device.writeAt(Buffer.of(0x77), sizeBytes);
    expect(await readBack(image, body, disk.device, nothing)).toBe(image.sha256);
  });

  test("an image that is not the one that was judged is noticed whatever was written", async () => {
    await using disk = await openDisk();
    const { image } = makeImage(sizeBytes);
    await clearBootSectors(disk.device);
    const body = await writeBody(image, disk.device, nothing);
    const other = { ...image, sha256: "0".repeat(64) };
    expect(await refusalOf(readBack(other, body, disk.device, nothing))).toMatchObject({ code: "readback" });
  });

  test("a head in memory that is not that of the image is noticed too", async () => {
    await using disk = await openDisk();
    const { image } = makeImage(sizeBytes);
    await clearBootSectors(disk.device);
    const body = await writeBody(image, disk.device, nothing);
    const changed = { ...body, head: Buffer.from(body.head.with(3, (body.head[3] ?? 0) ^ 1)) };
    expect(await refusalOf(readBack(image, changed, disk.device, nothing))).toMatchObject({ code: "readback" });
  });
});

describe("a write that fails", () => {
  test.each([1, 2, 3, 4])("at operation %d names the device, and no write is under way any more", async (failAt) => {
    await using disk = await openDisk();
    const { image } = makeImage(11 * MIB);
    await clearBootSectors(disk.device);
    let count = 0;
    const failing = watchDevice(disk.device, (what) => {
      count += 1;
      if (count === failAt) throw new ReimageError("device-io", `${what} fails`);
    });
    expect(await refusalOf(writeBody(image, failing, nothing))).toMatchObject({ code: "device-io" });
    expect(firstDifference((await readAll(disk.device)).subarray(0, MIB), zeros(MIB))).toBeNull();
  });
});
