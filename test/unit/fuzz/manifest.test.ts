import { expect, setDefaultTimeout, test } from "bun:test";
import { LARGEST_MANIFEST_BYTES, parseManifest } from "../../../src/image/manifest/manifest.ts";
import { fuzz, parseOrRefuse } from "../../support/fuzz.ts";
import { mutateJson } from "../../support/mutate-json.ts";
import { mutateText } from "../../support/mutate-text.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const sha256 = "0123456789abcdef".repeat(4);
const seeds = [
  {
    schemaVersion: 1,
    imageId: "kiosk 2026.1",
    version: 7,
    raw: { sizeBytes: 3 * 2 ** 22, sha256 },
    compressed: { sizeBytes: 999, sha256 },
    sectorSizeBytes: 512,
  },
  {
    schemaVersion: 1,
    imageId: "kiosk-2026.1",
    version: 0,
    raw: { sizeBytes: 2 ** 32, sha256 },
    compressed: { sizeBytes: 60_000, sha256 },
    sectorSizeBytes: 4096,
    leastDiskBytes: 8e9,
    leastRamBytes: 2 ** 30,
    partitionTable: [
      {
        number: 1,
        startBytes: 2 ** 20,
        sizeBytes: 2 ** 28,
        type: "83",
        label: "boot",
        uuid: "1234-ABCD",
        name: "boot",
      },
      { number: 5, startBytes: 2 ** 29, sizeBytes: 2 ** 30 },
    ],
    hardware: { vendors: ["Dell Inc."], products: ["OptiPlex 3050"], boards: ["0W0CHX"] },
    blockMap: { sha256, unmapped: "zero" },
    segments: [
      { offsetBytes: 0, sizeBytes: 20_000, rawOffsetBytes: 0, rawSizeBytes: 2 ** 31 },
      { offsetBytes: 20_000, sizeBytes: 40_000, rawOffsetBytes: 2 ** 31, rawSizeBytes: 2 ** 31 },
    ],
  },
] as const;

type Shape = Record<string, (value: unknown) => void>;

const isWhole = (least: number) => (value: unknown) => {
  expect(Number.isSafeInteger(value)).toBe(true);
  expect(value as number).toBeGreaterThanOrEqual(least);
};
const isDigest = (value: unknown) => expect(typeof value === "string" && /^[0-9a-f]{64}$/.test(value)).toBe(true);
const isLine = (value: unknown) => {
  expect(typeof value).toBe("string");
  expect((value as string).length >= 1 && (value as string).length <= 256).toBe(true);
  expect([...(value as string)].some((character) => character < " " || character === "\x7f")).toBe(false);
};
const isOneOf = (values: readonly unknown[]) => (value: unknown) => expect(values.includes(value)).toBe(true);
const isList = (check: (value: unknown) => void, least: number) => (value: unknown) => {
  expect(Array.isArray(value)).toBe(true);
  expect((value as unknown[]).length).toBeGreaterThanOrEqual(least);
  for (const entry of value as unknown[]) check(entry);
};
/** Own fields of these names alone, none of them inherited. */
const isObject =
  (required: Shape, optional: Shape = {}) =>
  (value: unknown) => {
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    const known: Shape = Object.assign(Object.create(null), required, optional);
    const fields = value as Record<string, unknown>;
    for (const name of Object.keys(required)) expect(Object.hasOwn(fields, name)).toBe(true);
    for (const [name, content] of Object.entries(fields)) {
      expect(Object.keys(known)).toContain(name);
      if (content !== undefined || name in required) known[name]?.(content);
    }
  };

const isContents = isObject({ sizeBytes: isWhole(1), sha256: isDigest });
const isManifest = isObject(
  {
    schemaVersion: isOneOf([1]),
    imageId: isLine,
    version: isWhole(0),
    raw: isContents,
    compressed: isContents,
    sectorSizeBytes: isOneOf([512, 4096]),
  },
  {
    leastDiskBytes: isWhole(1),
    leastRamBytes: isWhole(1),
    partitionTable: isList(
      isObject(
        { number: isWhole(1), startBytes: isWhole(1), sizeBytes: isWhole(1) },
        { type: isLine, name: isLine, label: isLine, uuid: isLine },
      ),
      0,
    ),
    hardware: isObject({}, { vendors: isList(isLine, 1), products: isList(isLine, 1), boards: isList(isLine, 1) }),
    blockMap: isObject({ sha256: isDigest, unmapped: isOneOf(["zero", "any"]) }),
    segments: isList(
      isObject({
        offsetBytes: isWhole(0),
        sizeBytes: isWhole(1),
        rawOffsetBytes: isWhole(0),
        rawSizeBytes: isWhole(1),
      }),
      1,
    ),
  },
);

/** Whether a text is accepted; what is accepted is a manifest in every respect. */
function isAccepted(text: string): boolean {
  const manifest = parseOrRefuse("image", () => parseManifest(text, "os.img.manifest.json"));
  if (manifest === null) return false;
  isManifest(manifest);
  expect(manifest.raw.sizeBytes % manifest.sectorSizeBytes).toBe(0);
  const { segments } = manifest;
  if (segments !== undefined) {
    segments.forEach((segment, i) => {
      const before = segments[i - 1];
      expect(segment.offsetBytes === (before === undefined ? 0 : before.offsetBytes + before.sizeBytes)).toBe(true);
      const rawEnd = before === undefined ? 0 : before.rawOffsetBytes + before.rawSizeBytes;
      expect(segment.rawOffsetBytes === rawEnd).toBe(true);
    });
    const sum = (field: "sizeBytes" | "rawSizeBytes") => segments.reduce((total, each) => total + each[field], 0);
    expect([sum("sizeBytes"), sum("rawSizeBytes")]).toEqual([manifest.compressed.sizeBytes, manifest.raw.sizeBytes]);
  }
  return true;
}

test("what the cases are made from is accepted", () => {
  for (const seed of seeds) expect(isAccepted(JSON.stringify(seed))).toBe(true);
});

test("10,000 mutations: refused as a bad image, or a manifest in every respect", () => {
  fuzz(1, (random) => {
    const seed = random.pick<object>(seeds);
    const text = random.chance(0.5) ? mutateJson(seed, random) : JSON.stringify(seed, null, random.pick([0, 1]));
    return isAccepted(random.chance(0.5) ? mutateText(text, random) : text);
  });
});

test("cut anywhere, it is refused", () => {
  for (const seed of seeds) {
    const text = JSON.stringify(seed, null, 1);
    for (let length = 0; length < text.length; length += 1) expect(isAccepted(text.slice(0, length))).toBe(false);
  }
});

const much = LARGEST_MANIFEST_BYTES;
test.each<[string, string]>([
  ["lists in lists", "[".repeat(much)],
  ["objects in objects", '{"raw":'.repeat(much / 7)],
  [
    "a manifest in which lists in lists stand for a size",
    `{"schemaVersion":1,"version":${"[".repeat(1e5)}${"]".repeat(1e5)}}`,
  ],
  ["one long name", `{"${"x".repeat(much)}":1}`],
  ["many names", `{${Array.from({ length: much / 16 }, (_, i) => `"name${i}":1`).join()}}`],
  ["many segments that are none", `{"schemaVersion":1,"segments":[${"1,".repeat(much / 2)}1]}`],
  ["a long word that is no JSON", "x".repeat(much)],
  ["a long text", JSON.stringify({ ...seeds[0], imageId: "x".repeat(much) })],
  ["a long number", `{"schemaVersion":${"9".repeat(much)}}`],
  ["blanks", " ".repeat(much)],
])("as large as a manifest may be: %s", (_, text) => {
  expect(isAccepted(text)).toBe(false);
});

test("of many wrong entries a few are named, and of too many none is looked at", () => {
  const refusal = (entries: number) => {
    const segments = Array.from({ length: entries }, () => 1);
    const text = JSON.stringify({ ...seeds[0], segments });
    expect(isAccepted(text)).toBe(false);
    return () => parseManifest(text, "m");
  };
  expect(refusal(2 ** 16)).toThrow(/segments\.7: [^;]*; and 65528 more$/);
  expect(refusal(2 ** 16 + 1)).toThrow("manifest m: segments: must not have more than 65536 entries");
});
