/** What lies in the files of `reimage pack`, compared with what other programs and plain definitions say. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseManifest, type Segment } from "../../src/image/manifest/manifest.ts";
import { runCli } from "../support/cli.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage } from "../support/pack-image.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const BLOCK = 4096;
const MIB = 1 << 20;
const formats = ["zst", "bz2"] as const;
const decoders = { zst: "zstd", bz2: "bzip2" } as const;

const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let raw: Buffer;
const at = (name: string) => join(base.dir, name);
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const segmentsOf = (format: string): readonly Segment[] =>
  parseManifest(readFileSync(at(`os.img.${format}.manifest.json`), "utf8"), format).segments ?? [];

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  await makePackImage(at("os.img"), "gpt");
  raw = readFileSync(at("os.img"));
  await runTestCommand(["minisign", "-G", "-W", "-p", at("own.pub"), "-s", at("own.key")]);
  for (const format of formats) {
    const result = await runCli(["pack", at("os.img"), "--compress", format, "--level", "1"]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  }
});
afterAll(() => stack.disposeAsync());

/** The ranges of a block map, read without the program's own parser. */
function rangesOf(format: string): { start: number; end: number; checksum: string }[] {
  const text = readFileSync(at(`os.img.${format}.bmap`), "utf8");
  return [...text.matchAll(/<Range chksum="([0-9a-f]{64})">\s*(\d+)(?:-(\d+))?\s*<\/Range>/g)].map(
    ([, checksum = "", first = "", last = first]) => ({
      start: Number(first) * BLOCK,
      end: Math.min((Number(last) + 1) * BLOCK, raw.length),
      checksum,
    }),
  );
}

const isEmpty = (start: number, end: number) => !raw.subarray(start, end).some((byte) => byte !== 0);

describe("the block map", () => {
  test("maps every block with content, and nothing that its rules do not give", () => {
    const ranges = rangesOf("zst");
    expect(ranges.length).toBeGreaterThan(15);
    let before = 0;
    for (const { start, end, checksum } of ranges) {
      expect(isEmpty(before, start)).toBe(true);
      expect(isEmpty(start, start + BLOCK) || isEmpty(end - BLOCK, end)).toBe(false);
      expect(Math.floor(start / (4 * MIB))).toBe(Math.floor((end - 1) / (4 * MIB)));
      // Two ranges with a small gap between them would be one, unless a multiple of 4 MiB lies there.
      const isCut = Math.floor((before - 1) / (4 * MIB)) !== Math.floor(start / (4 * MIB));
      expect(start - before >= 64 << 10 || isCut).toBe(true);
      expect(sha256(raw.subarray(start, end))).toBe(checksum);
      before = end;
    }
    expect(isEmpty(before, raw.length)).toBe(true);
  });

  test("is the same whatever the image is packed as", () => expect(rangesOf("bz2")).toEqual(rangesOf("zst")));

  test.each(formats)("bmaptool copies the %s by it", async (format) => {
    const bmap = ["--bmap", at(`os.img.${format}.bmap`)];
    await runTestCommand(["bmaptool", "copy", ...bmap, at(`os.img.${format}`), at("copy")]);
    expect(sha256(readFileSync(at("copy")))).toBe(sha256(raw));
  });
});

describe("segments", () => {
  test.each(formats)("of %s decode alone to their stretches", async (format) => {
    const file = readFileSync(at(`os.img.${format}`));
    const segments = segmentsOf(format);
    expect(segments.length).toBeGreaterThan(5);
    for (const { offsetBytes, sizeBytes, rawOffsetBytes, rawSizeBytes } of segments) {
      const decoder = Bun.spawn([decoders[format], "-dc"], {
        stdin: file.subarray(offsetBytes, offsetBytes + sizeBytes),
        stdout: "pipe",
      });
      const decoded = await new Response(decoder.stdout).bytes();
      expect(await decoder.exited).toBe(0);
      expect(sha256(decoded)).toBe(sha256(raw.subarray(rawOffsetBytes, rawOffsetBytes + rawSizeBytes)));
    }
  });

  test("keep what is not mapped apart, and hold each mapped range whole", () => {
    const segments = segmentsOf("zst");
    const holding = ({ start, end }: { start: number; end: number }) =>
      segments.findIndex((s) => s.rawOffsetBytes <= start && end <= s.rawOffsetBytes + s.rawSizeBytes);
    const used = new Set(rangesOf("zst").map(holding));
    expect(used.has(-1)).toBe(false);
    const unused = segments.filter((_, index) => !used.has(index));
    for (const { rawSizeBytes } of unused) expect(rawSizeBytes).toBeGreaterThanOrEqual(MIB);
    const largest = Math.max(...segments.filter((_, i) => used.has(i)).map((s) => s.rawSizeBytes));
    expect(largest).toBe(16 * MIB);
    // What has a MiB of nothing in it is not in a segment with content.
    for (const { rawOffsetBytes, rawSizeBytes } of segments.filter((_, i) => used.has(i))) {
      for (let start = rawOffsetBytes; start + MIB <= rawOffsetBytes + rawSizeBytes; start += BLOCK) {
        if (raw[start] === 0) expect(isEmpty(start, start + MIB)).toBe(false);
      }
    }
  });

  test("of zst say their size and have a checksum", async () => {
    const listed = await runTestCommand(["zstd", "-lv", at("os.img.zst")]);
    expect(listed).toMatch(new RegExp(`Decompressed Size: .*\\(${raw.length} B\\)`));
    expect(listed).toMatch(/Check: XXH64/);
  });
});

test("the same image and options give the same bytes, signature included", async () => {
  const digests: string[][] = [];
  for (const folder of ["first", "second"]) {
    mkdirSync(at(folder));
    const output = at(`${folder}/os.zst`);
    const options = ["--level", "5", "--image-version", "3", "--secret-key", at("own.key")];
    const result = await runCli(["pack", at("os.img"), "--output", output, ...options]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const files = [output, `${output}.bmap`, `${output}.manifest.json`, `${output}.manifest.json.minisig`];
    digests.push(files.map((path) => sha256(readFileSync(path))));
  }
  expect(digests[1]).toEqual(digests[0] ?? []);
});
