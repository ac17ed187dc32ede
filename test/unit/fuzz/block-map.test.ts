import { expect, setDefaultTimeout, test } from "bun:test";
import {
  type BlockMap,
  formatBlockMap,
  parseBlockMap,
  unmappedRegions,
} from "../../../src/image/manifest/block-map.ts";
import { blockMapText, sealBlockMap } from "../../support/block-map-text.ts";
import { fuzz, parseOrRefuse } from "../../support/fuzz.ts";
import { mutateText } from "../../support/mutate-text.ts";
import { mutateXml } from "../../support/mutate-xml.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const ranges = ["0-21", "22", "173-433", "2048", "2416-2441"];
const seeds = [
  blockMapText({ image: 10_000_001, block: 4096, blocks: 2442 }, 311, ranges),
  blockMapText({ image: 2 ** 20, block: 512, blocks: 2048 }, 2048, ["0-2047"]),
  blockMapText({ image: 2 ** 40, block: 2 ** 20, blocks: 2 ** 20 }, 0, []),
  formatBlockMap({
    imageSizeBytes: 9 * 2 ** 20 + 1,
    blockSizeBytes: 4096,
    ranges: [0, 1, 2].map((i) => ({
      offsetBytes: i * 2 ** 22,
      sizeBytes: i < 2 ? 2 ** 22 : 2 ** 20 + 1,
      sha256: "ab".repeat(32),
    })),
  }),
] as const;

/** What a map must be, said once more and in another way than the program says it. */
function expectBlockMap(map: BlockMap, text: string): void {
  expect(Object.keys(map).sort()).toEqual(["blockSizeBytes", "imageSizeBytes", "ranges"]);
  const { imageSizeBytes, blockSizeBytes } = map;
  expect(Number.isSafeInteger(imageSizeBytes) && imageSizeBytes > 0).toBe(true);
  expect(blockSizeBytes >= 512 && blockSizeBytes <= 2 ** 20).toBe(true);
  expect(blockSizeBytes & (blockSizeBytes - 1)).toBe(0);
  let end = 0;
  let mappedBytes = 0;
  for (const range of map.ranges) {
    expect(Number.isSafeInteger(range.offsetBytes) && Number.isSafeInteger(range.sizeBytes)).toBe(true);
    expect(range.offsetBytes >= end && range.sizeBytes > 0).toBe(true);
    end = range.offsetBytes + range.sizeBytes;
    expect(end <= imageSizeBytes).toBe(true);
    expect(range.offsetBytes % blockSizeBytes).toBe(0);
    expect(end % blockSizeBytes === 0 || end === imageSizeBytes).toBe(true);
    expect(range.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(text).toContain(range.sha256);
    mappedBytes += range.sizeBytes;
  }
  const unmappedBytes = unmappedRegions(map).reduce((sum, region) => sum + region.sizeBytes, 0);
  expect(mappedBytes + unmappedBytes).toBe(imageSizeBytes);
  expect(sealBlockMap(text)).toBe(text);
  expect(parseBlockMap(formatBlockMap(map), "again")).toEqual(map);
}

function isAccepted(text: string): boolean {
  const map = parseOrRefuse("image", () => parseBlockMap(text, "os.img.bmap"));
  if (map === null) return false;
  expectBlockMap(map, text);
  return true;
}

test("what the cases are made from is accepted", () => {
  for (const seed of seeds) expect(isAccepted(seed)).toBe(true);
});

test("10,000 mutations: refused as a bad image, or a block map in every respect", () => {
  fuzz(4_000_000, (random) => {
    const seed = random.pick(seeds);
    const changed = random.chance(0.7) ? mutateXml(seed, random) : seed;
    const text = random.chance(changed === seed ? 1 : 0.2) ? mutateText(changed, random) : changed;
    // Most of them with a digest that fits: it would hide what else is wrong.
    return isAccepted(random.chance(0.8) ? sealBlockMap(text) : text);
  });
});

test.each(seeds)("cut anywhere, it is refused (%#)", (text) => {
  for (let length = 0; length < text.trimEnd().length; length += 1) {
    expect(isAccepted(text.slice(0, length))).toBe(false);
    expect(isAccepted(sealBlockMap(text.slice(0, length)))).toBe(false);
  }
});

test("a flipped bit in any byte is noticed", () => {
  const file = Buffer.from(seeds[0]);
  for (let at = 0; at < file.length; at += 1) {
    const damaged = Buffer.from(file);
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at & 7)), at);
    expect(isAccepted(damaged.toString())).toBe(false);
  }
});

const much = 2 ** 20;
const start = '<?xml version="1.0"?><bmap version="2.0">';
test.each<[string, string]>([
  ["elements in elements", "<a>".repeat(much / 3)],
  ["maps in maps", '<bmap version="2.0">'.repeat(much / 20)],
  ["a long name", `<${"a".repeat(much)}>`],
  ["a long name in the map", `${start}<${"a".repeat(much)}>`],
  ["attributes", `<bmap ${Array.from({ length: much / 16 }, (_, i) => `a${i}="1"`).join(" ")}>`],
  ["a long attribute", `<bmap version="${"2".repeat(much)}">`],
  ["a comment without an end", `<!--${"-".repeat(much)}`],
  ["blanks", " ".repeat(much)],
  ["blanks in an element", `${start}<ImageSize>${" ".repeat(much)}x</ImageSize><BlockSize>`],
  ["a long number", `${start}<ImageSize>${"9".repeat(much)}</ImageSize>`],
  ["entities", `${start}<ImageSize>${"&amp;".repeat(much / 5)}</ImageSize>`],
  ["text where none belongs", start + "x".repeat(much)],
  ["ranges without blocks", `${start}<BlockMap>${"<Range/>".repeat(much / 8)}</BlockMap></bmap>`],
  ["more than a block map may be", " ".repeat(65 * 2 ** 20)],
])("a megabyte: %s", (_, text) => {
  expect(isAccepted(text)).toBe(false);
});

test("entities that multiply are not even read", () => {
  const levels = Array.from({ length: 30 }, (_, i) => `<!ENTITY e${i + 1} "&e${i};&e${i};">`).join("");
  const bomb = (seeds[0] ?? "")
    .replace("<bmap", `<!DOCTYPE bmap [<!ENTITY e0 "1">${levels}]><bmap`)
    .replace("<ImageSize> ", "<ImageSize> &e30;");
  expect(() => parseBlockMap(bomb, "os.img.bmap")).toThrow("a document type (<!DOCTYPE) is not allowed");
});
