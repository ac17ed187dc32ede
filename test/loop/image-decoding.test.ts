/** Decoding by the real programs: all of it, ended early, and never something else. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ByteSource, openFileSource } from "../../src/image/byte-source.ts";
import type { ImageFormat } from "../../src/image/formats.ts";
import { decodeTo } from "../support/decode-to.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

const content = noise("decoded", 3 * MIB);
const packers: [ImageFormat, string[]][] = [
  ["raw", ["cat"]],
  ["bz2", ["lbzip2", "-c"]],
  ["gz", ["gzip", "-c"]],
  ["xz", ["xz", "-c", "-0"]],
  ["zst", ["zstd", "-q", "-c"]],
];
async function pack([command = "", ...args]: readonly string[]): Promise<ByteSource> {
  writeFileSync(at("packed"), execFileSync(command, args, { input: content, maxBuffer: 64 * MIB }));
  return await openFileSource(at("packed"), "packed");
}

test.each(packers)("%s: all of it", async (format, packer) => {
  const pieces: Uint8Array[] = [];
  await using packed = await pack(packer);
  const result = await decodeTo(packed, format, (piece) => pieces.push(Uint8Array.from(piece)) > 0);
  expect(result).toEqual({ sizeBytes: content.length, isComplete: true });
  expect(Buffer.concat(pieces).equals(content)).toBe(true);
});

test.each(packers)("%s: ended early, at once and near the end", async (format, packer) => {
  await using packed = await pack(packer);
  for (const enough of [1, MIB, content.length - 1]) {
    let sizeBytes = 0;
    const result = await decodeTo(packed, format, (piece) => {
      sizeBytes += piece.length;
      return sizeBytes < enough;
    });
    expect(result).toEqual({ sizeBytes, isComplete: false });
  }
});

test.each(packers)("%s: what the consumer throws is what is thrown", async (format, packer) => {
  await using packed = await pack(packer);
  const failure = decodeTo(packed, format, () => {
    throw new Error("the consumer failed");
  });
  expect(failure).rejects.toThrow("the consumer failed");
});

test("xz: a file that asks for more memory than is counted for it is refused", async () => {
  await using most = await pack(["xz", "-c", "-9"]);
  expect(await decodeTo(most, "xz", () => true)).toMatchObject({ isComplete: true });
  await using packed = await pack(["xz", "-c", "--lzma2=preset=0,dict=96MiB"]);
  expect(await refusalOf(decodeTo(packed, "xz", () => true))).toMatchObject({
    code: "image",
    message: expect.stringContaining("Memory usage limit reached"),
    hint: expect.stringContaining("xz -9 or less"),
  });
});

test("bz2: no flipped bit is decoded to something else", async () => {
  const small = noise("small", 600);
  const packed = execFileSync("bzip2", ["-c"], { input: small });
  let refused = 0;
  for (let i = 0; i < packed.length; i += 1) {
    const damaged = Buffer.from(packed);
    damaged.writeUInt8(damaged.readUInt8(i) ^ (1 << (i % 8)), i);
    writeFileSync(at("damaged"), damaged);
    const pieces: Uint8Array[] = [];
    await using source = await openFileSource(at("damaged"), "damaged");
    const decoded = await decodeTo(source, "bz2", (piece) => pieces.push(Uint8Array.from(piece)) > 0).catch(() => null);
    if (decoded === null) refused += 1;
    else expect({ i, isSame: Buffer.concat(pieces).equals(small) }).toEqual({ i, isSame: true });
  }
  expect(refused).toBeGreaterThan(packed.length - 16); // a level that is larger than needed, padding, and little else
});
