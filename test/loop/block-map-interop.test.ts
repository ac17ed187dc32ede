/** bmaptool reads the block maps that are written here, and the other way round. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import {
  type BlockMap,
  formatBlockMap,
  type MappedRange,
  parseBlockMap,
  unmappedRegions,
} from "../../src/image/manifest/block-map.ts";
import {
  createLoopDevice,
  makeFileSystem,
  runTestCommand,
  type TemporaryDirectory,
  temporaryDirectory,
} from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const blockSizeBytes = 4096;
const largestRangeBytes = 4 * MIB;
let base: TemporaryDirectory;
let image: Buffer;
const at = (name: string) => join(base.dir, name);

/** The blocks that are not all zeros, as ranges of at most `mostBytes`. */
function mapOf(content: Buffer, mostBytes: number): BlockMap {
  const ranges: MappedRange[] = [];
  const zeros = Buffer.alloc(blockSizeBytes);
  const add = (offsetBytes: number, endBytes: number) => {
    const sha256 = createHash("sha256").update(content.subarray(offsetBytes, endBytes)).digest("hex");
    ranges.push({ offsetBytes, sizeBytes: endBytes - offsetBytes, sha256 });
  };
  let start: number | null = null;
  for (let offset = 0; offset < content.length; offset += blockSizeBytes) {
    const block = content.subarray(offset, offset + blockSizeBytes);
    const isMapped = !block.equals(zeros.subarray(0, block.length));
    if (start !== null && (!isMapped || offset - start >= mostBytes)) {
      add(start, offset);
      start = null;
    }
    if (isMapped) start ??= offset;
  }
  if (start !== null) add(start, content.length);
  return { imageSizeBytes: content.length, blockSizeBytes, ranges };
}

beforeAll(async () => {
  base = await temporaryDirectory();
  writeFileSync(at("os.img"), "");
  truncateSync(at("os.img"), 48 * MIB);
  await makeFileSystem(at("os.img"), "ext4", { label: `bm${process.pid}` });
  mkdirSync(at("tree"));
  writeFileSync(at("tree/large"), noise("large", 10 * MIB));
  writeFileSync(at("tree/small"), noise("small", 5000));
  for (const name of ["large", "small"]) {
    await runTestCommand(["debugfs", "-w", "-R", `write ${at(`tree/${name}`)} ${name}`, at("os.img")]);
  }
  appendFileSync(at("os.img"), noise("tail", 1000)); // the last block is not a whole one
  image = readFileSync(at("os.img"));
  // bmaptool maps what is allocated, mkfs allocates without writing: once more, with what is not zero alone.
  writeFileSync(at("os.img"), "");
  truncateSync(at("os.img"), image.length);
  await using file = await open(at("os.img"), "r+");
  for (const { offsetBytes, sizeBytes } of mapOf(image, largestRangeBytes).ranges) {
    await file.write(image, offsetBytes, sizeBytes, offsetBytes);
  }
});
afterAll(() => base[Symbol.asyncDispose]());

/** Has bmaptool copy an image by a map to a device that is full of 0xff; what the device holds then. */
async function copyByBmaptool(imageName: string, mapText: string): Promise<Buffer> {
  writeFileSync(at("map.bmap"), mapText);
  await using target = await createLoopDevice(Math.ceil(image.length / 4096) * 4096);
  writeFileSync(target.path, Buffer.alloc(image.length, 0xff));
  await runTestCommand(["bmaptool", "copy", "--bmap", at("map.bmap"), at(imageName), target.path]);
  return readFileSync(target.path).subarray(0, image.length);
}

test("a map by bmaptool is read: its ranges are those of the file, and what is between them is zero", async () => {
  await runTestCommand(["bmaptool", "create", "--output", at("os.bmap"), at("os.img")]);
  const map = parseBlockMap(readFileSync(at("os.bmap"), "utf8"), "os.bmap");
  expect(map).toEqual(mapOf(image, Number.POSITIVE_INFINITY));
  expect(map.ranges.length).toBeGreaterThan(3);
  expect(Math.max(...map.ranges.map(({ sizeBytes }) => sizeBytes))).toBeGreaterThan(largestRangeBytes);
  for (const { offsetBytes, sizeBytes } of unmappedRegions(map)) {
    expect(image.subarray(offsetBytes, offsetBytes + sizeBytes).every((byte) => byte === 0)).toBe(true);
  }
});

test("a map by bmaptool without checksums is refused, by the name of what is missing", async () => {
  await runTestCommand(["bmaptool", "create", "--no-checksum", "--output", at("bare.bmap"), at("os.img")]);
  expect(() => parseBlockMap(readFileSync(at("bare.bmap"), "utf8"), "bare.bmap")).toThrow(
    /range \d+-\d+ has no chksum/,
  );
});

describe("a map that is written here", () => {
  test("bmaptool copies by it: all that is mapped, nothing else", async () => {
    const map = mapOf(image, largestRangeBytes);
    const touching = map.ranges.filter(({ offsetBytes }) =>
      map.ranges.some((before) => before.offsetBytes + before.sizeBytes === offsetBytes),
    );
    expect(touching.length).toBeGreaterThan(1);
    const expected = Buffer.from(image);
    for (const { offsetBytes, sizeBytes } of unmappedRegions(map)) {
      expected.fill(0xff, offsetBytes, offsetBytes + sizeBytes);
    }
    expect((await copyByBmaptool("os.img", formatBlockMap(map))).equals(expected)).toBe(true);
  });

  test.each(["first", "last"])(
    "bmaptool checks its digests: a flipped bit in the %s range is refused",
    async (which) => {
      const map = mapOf(image, largestRangeBytes);
      const range = map.ranges.at(which === "first" ? 0 : -1);
      const damaged = Buffer.from(image);
      const byte = (range?.offsetBytes ?? 0) + (range?.sizeBytes ?? 0) - 1;
      damaged.writeUInt8(damaged.readUInt8(byte) ^ 1, byte);
      writeFileSync(at("damaged.img"), damaged);
      expect(statSync(at("damaged.img")).size).toBe(image.length);
      await expect(copyByBmaptool("damaged.img", formatBlockMap(map))).rejects.toThrow(
        "checksum mismatch for blocks range",
      );
    },
  );

  test("bmaptool checks the digest of the map itself", async () => {
    const text = formatBlockMap(mapOf(image, largestRangeBytes));
    const damaged = text.replace("The block map of", "The block map 0f");
    expect(damaged).not.toBe(text);
    await expect(copyByBmaptool("os.img", damaged)).rejects.toThrow("checksum mismatch for bmap file");
  });
});
