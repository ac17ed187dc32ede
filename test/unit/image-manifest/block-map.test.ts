import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import {
  type BlockMap,
  formatBlockMap,
  parseBlockMap,
  unmappedRegions,
} from "../../../src/image/manifest/block-map.ts";
import { blockMapText, sealBlockMap } from "../../support/block-map-text.ts";

const sizes = { image: 10_000_001, block: 4096, blocks: 2442 };
const ranges = ["0-21", "22", "173-433", "2416-2441"];
const text = blockMapText(sizes, 310, ranges);
const sha256 = "0123456789abcdef".repeat(4);

/** Made by `bmaptool create` 3.6 from an image of 16,897 bytes whose blocks 0, 2 and 4 hold 0xa5. */
const byBmaptool = readFileSync(join(import.meta.dir, "../../fixtures/image/bmaptool-3.6.bmap"), "utf8");

/** The message with which a map is refused. */
function refusal(map: string): string {
  try {
    parseBlockMap(map, "os.img.bmap");
  } catch (error) {
    if (!(error instanceof ReimageError)) throw error;
    expect(error.code).toBe("image");
    expect(error.hint).toBe("make the block map again with reimage pack, or bmaptool create");
    expect(error.message).toStartWith("block map os.img.bmap: ");
    return error.message;
  }
  throw new Error("it was accepted");
}

/** The valid map, changed and sealed again. */
function changed(from: string | RegExp, to: string): string {
  const result = text.replace(from, to);
  expect(result).not.toBe(text);
  return sealBlockMap(result);
}

describe("parseBlockMap", () => {
  test("ranges, single blocks, and a last block that is not whole", () => {
    const map = parseBlockMap(text, "m");
    expect([map.imageSizeBytes, map.blockSizeBytes]).toEqual([10_000_001, 4096]);
    expect(map.ranges.map(({ offsetBytes, sizeBytes }) => [offsetBytes, sizeBytes])).toEqual([
      [0, 22 * 4096],
      [22 * 4096, 4096],
      [173 * 4096, 261 * 4096],
      [2416 * 4096, 10_000_001 - 2416 * 4096],
    ]);
    for (const range of map.ranges) expect(text).toContain(`chksum="${range.sha256}"`);
  });

  test("what bmaptool wrote, to the last byte", () => {
    const map = parseBlockMap(byBmaptool, "m");
    expect(map).toEqual({
      imageSizeBytes: 16_897,
      blockSizeBytes: 4096,
      ranges: [0, 2, 4].map((block) => ({
        offsetBytes: block * 4096,
        sizeBytes: block === 4 ? 513 : 4096,
        sha256: new Bun.CryptoHasher("sha256").update(Buffer.alloc(block === 4 ? 513 : 4096, 0xa5)).digest("hex"),
      })),
    });
  });

  test("a map without ranges, and later versions of the same format", () => {
    expect(parseBlockMap(blockMapText(sizes, 0, []), "m").ranges).toEqual([]);
    expect(parseBlockMap(changed('version="2.0"', 'version="2.17"'), "m").ranges).toHaveLength(4);
  });

  test.each<[string, string, string]>([
    ["nothing", "", "no well-formed XML"],
    ["no XML", "BZh9", "no well-formed XML"],
    ["another document", "<html></html>", 'unexpected element "html"'],
    ["version 1.3", changed(/version="2.0"/, 'version="1.3"'), 'is of version "1.3"; this reimage reads version 2.0'],
    ["version 1.4", changed(/version="2.0"/, 'version="1.4"'), 'is of version "1.4"'],
    ["version 3.0", changed(/version="2.0"/, 'version="3.0"'), 'is of version "3.0"'],
    ["no version", changed(' version="2.0"', ""), 'is of version ""'],
    ["sha1", changed("> sha256 <", "> sha1 <"), 'the type of its checksums is "sha1"; this reimage reads sha256 alone'],
    ["sha512", changed("> sha256 <", "> sha512 <"), 'checksums is "sha512"'],
    ["damage", text.replace("173-433", "174-434"), "its <BmapFileChecksum> does not fit"],
    ["a damaged comment", text.replace("Image size", "image size"), "its <BmapFileChecksum> does not fit"],
    ["no own checksum", changed(/<BmapFileChecksum>.*>/, ""), "<BmapFileChecksum> is missing"],
    ["a short own checksum", text.replace(/(<BmapFileChecksum> ..)../, "$1"), "<BmapFileChecksum> is no SHA-256"],
    ["no list of ranges", changed(/<BlockMap>.*<\/BlockMap>/s, ""), "<BlockMap> is missing"],
    ["an image of no size", changed("> 10000001 <", "> 0 <"), "the image has no size"],
    ["a negative size", changed("> 10000001 <", "> -1 <"), "<ImageSize> is no size or count"],
    ["a size beyond what can be counted", changed("> 10000001 <", "> 9007199254740992 <"), "<ImageSize> is no size"],
    ["too many blocks", changed("> 2442 <", "> 2443 <"), "<BlocksCount> is not 2442"],
    ["too few blocks", changed("> 2442 <", "> 2441 <"), "<BlocksCount> is not 2442"],
    ["blocks of 256 bytes", changed("> 4096 <", "> 256 <"), "the block size 256 is no power of two"],
    ["blocks of 2 MiB", changed("> 4096 <", "> 2097152 <"), "the block size 2097152 is no power of two"],
    ["blocks of 4097 bytes", changed("> 4096 <", "> 4097 <"), "the block size 4097 is no power of two"],
    ["blocks of no size", changed("> 4096 <", "> 0 <"), "the block size 0 is no power of two"],
    ["a wrong count of mapped blocks", changed("> 310 ", "> 311 "), "<MappedBlocksCount> is not 310"],
    ["ranges that overlap", changed("173-433", "22-282"), "range 22-282 is not behind the one before it"],
    ["the same range twice", blockMapText(sizes, 2, ["5", "5"]), "range 5 is not behind the one before it"],
    ["ranges out of order", blockMapText(sizes, 3, ["5-6", "1"]), "range 1 is not behind the one before it"],
    ["a range backwards", changed("173-433", "433-173"), "range 433-173 is not inside the image"],
    ["a range beyond the image", changed("2416-2441", "2416-2442"), "range 2416-2442 is not inside the image"],
    ["a block beyond the image", blockMapText(sizes, 1, ["2442"]), "range 2442-2442 is not inside the image"],
    ["a huge block", blockMapText(sizes, 1, ["9007199254740991"]), "is not inside the image"],
    ["no numbers", blockMapText(sizes, 1, ["a-b"]), '"a-b" is no range of blocks'],
    ["three numbers", blockMapText(sizes, 1, ["1-2-3"]), '"1-2-3" is no range of blocks'],
    ["an empty range", blockMapText(sizes, 1, [""]), '"" is no range of blocks'],
    ["no checksum of a range", changed(/ chksum="[^"]*"/, ""), "range 0-21 has no chksum"],
    ["a sha1 of a range", changed(/chksum="\w{24}/, 'chksum="'), "the chksum of range 0-21 is no SHA-256"],
    ["an upper-case checksum", changed(/chksum="\w{4}/, 'chksum="ABCD'), "the chksum of range 0-21 is no SHA-256"],
    ["two sizes", changed("<BlockSize>", "<ImageSize>1</ImageSize><BlockSize>"), "<ImageSize> is there twice"],
    ["an unknown element", changed("<BlockSize>", "<Skip>1</Skip><BlockSize>"), 'unexpected element "Skip" in <bmap>'],
    ["a range outside the list", changed("<BlockSize>", "<Range>1</Range><BlockSize>"), 'element "Range" in <bmap>'],
    ["an unknown attribute", changed("<Range ", '<Range skip="1" '), 'unexpected attribute "skip" of <Range>'],
    ["text among the ranges", changed("<BlockMap>", "<BlockMap>x"), 'unexpected "x" in <BlockMap>'],
    ["text behind the ranges", changed("</BlockMap>", "x</BlockMap>"), 'unexpected "x" in <BlockMap>'],
    ["text behind the list", changed("</bmap>", "x</bmap>"), 'unexpected "x" in <bmap>'],
    ["a processing instruction", changed("<bmap", "<?php x?><bmap"), 'a processing instruction ("php") is not allowed'],
    ["more than 64 MiB", `${text}${" ".repeat(64 * 2 ** 20)}`, "larger than 67108864 bytes"],
    ["a document type", changed("<bmap", "<!DOCTYPE bmap><bmap"), "a document type (<!DOCTYPE) is not allowed"],
    ["an entity", changed("> 10000001 <", "> &size; <"), "no well-formed XML"],
    ["CDATA", changed("> 10000001 <", "><![CDATA[10000001]]><"), "a CDATA section is not allowed"],
    ["an element that is left open", changed("</bmap>", ""), "no well-formed XML"],
    ["something behind the end", `${text}<bmap/>`, "no well-formed XML"],
  ])("%s is refused", (_, map, message) => expect(refusal(map)).toContain(message));

  test("its own checksum must be in one place: bmaptool takes the first one, wherever it is", () => {
    const digest = /<BmapFileChecksum> (\w+)/.exec(text)?.[1] ?? "";
    expect(refusal(text.replace("some -->", `${digest} -->`))).toContain("is not there exactly once");
    expect(refusal(text.replace(digest, `&#${digest.charCodeAt(0)};${digest.slice(1)}`))).toContain("exactly once");
  });
});

describe("formatBlockMap", () => {
  const range = (offsetBytes: number, sizeBytes: number) => ({ offsetBytes, sizeBytes, sha256 });
  const map = (parts: Partial<BlockMap>): BlockMap => ({
    imageSizeBytes: 10_000,
    blockSizeBytes: 4096,
    ranges: [],
    ...parts,
  });

  test.each([
    map({}),
    map({ ranges: [range(0, 10_000)] }),
    map({ ranges: [range(0, 4096), range(4096, 4096), range(8192, 1808)] }),
    map({ imageSizeBytes: 1, blockSizeBytes: 512, ranges: [range(0, 1)] }),
    map({ imageSizeBytes: 2 ** 53 - 1, blockSizeBytes: 2 ** 20, ranges: [range(2 ** 53 - 2 ** 20, 2 ** 20 - 1)] }),
  ])("what is written is read again, and carries its own checksum (%#)", (original) => {
    const written = formatBlockMap(original);
    expect(parseBlockMap(written, "m")).toEqual(original);
    expect(sealBlockMap(written)).toBe(written);
  });

  test.each<[string, BlockMap]>([
    ["half a block", map({ ranges: [range(0, 2048)] })],
    ["a range that begins in a block", map({ ranges: [range(2048, 2048)] })],
    ["a range beyond the image", map({ ranges: [range(8192, 4096)] })],
    ["an empty range", map({ ranges: [range(4096, 0)] })],
    ["ranges that overlap", map({ ranges: [range(0, 8192), range(4096, 4096)] })],
    ["a range without a digest", map({ ranges: [{ ...range(0, 4096), sha256: "" }] })],
    ["no image", map({ imageSizeBytes: 0 })],
    ["blocks that are no power of two", map({ blockSizeBytes: 1000 })],
    ["a size that is no number", map({ imageSizeBytes: Number.NaN })],
    ["an offset that is no number", map({ ranges: [range(Number.NaN, 4096)] })],
  ])("%s is a mistake of the program", (_, wrong) => {
    expect(() => formatBlockMap(wrong)).toThrow("a block map was made wrongly");
  });
});

describe("unmappedRegions", () => {
  const between = (pairs: readonly [number, number][]) =>
    unmappedRegions({
      imageSizeBytes: 10_000,
      blockSizeBytes: 512,
      ranges: pairs.map(([offsetBytes, sizeBytes]) => ({ offsetBytes, sizeBytes, sha256 })),
    }).map(({ offsetBytes, sizeBytes }) => [offsetBytes, sizeBytes]);

  test.each<[string, [number, number][], [number, number][]]>([
    ["nothing is mapped", [], [[0, 10_000]]],
    ["all is mapped", [[0, 10_000]], []],
    [
      "all is mapped, by ranges that touch",
      [
        [0, 512],
        [512, 512],
        [1024, 8976],
      ],
      [],
    ],
    ["at the start", [[512, 9488]], [[0, 512]]],
    ["at the end", [[0, 9728]], [[9728, 272]]],
    [
      "between",
      [
        [0, 512],
        [1024, 8976],
      ],
      [[512, 512]],
    ],
    [
      "everywhere",
      [
        [512, 512],
        [1024, 512],
        [2048, 512],
      ],
      [
        [0, 512],
        [1536, 512],
        [2560, 7440],
      ],
    ],
  ])("%s", (_, mapped, unmapped) => expect(between(mapped)).toEqual(unmapped));
});
