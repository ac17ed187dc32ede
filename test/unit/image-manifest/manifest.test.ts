import { describe, expect, test } from "bun:test";
import { ReimageError } from "../../../src/errors.ts";
import { parseManifest } from "../../../src/image/manifest/manifest.ts";
import { createRandom, mutate } from "./random.ts";

const sha256 = "0123456789abcdef".repeat(4);
const least = {
  schemaVersion: 1,
  imageId: "kiosk-2026.1",
  version: 7,
  raw: { sizeBytes: 4 * 2 ** 30, sha256 },
  compressed: { sizeBytes: 188_000_001, sha256 },
  sectorSizeBytes: 512,
};
const full = {
  ...least,
  leastDiskBytes: 8e9,
  leastRamBytes: 2 ** 30,
  partitionTable: [
    { number: 1, startBytes: 2 ** 20, sizeBytes: 2 ** 28, type: "83", label: "boot", uuid: "1234-ABCD", name: "boot" },
    { number: 5, startBytes: 2 ** 29, sizeBytes: 2 ** 30 },
  ],
  hardware: { vendors: ["Dell Inc."], products: ["OptiPlex 3050"], boards: ["0W0CHX"] },
  blockMap: { sha256, unmapped: "zero" },
};

/** The message with which a manifest is refused. */
function refusal(value: unknown): string {
  try {
    parseManifest(typeof value === "string" ? value : JSON.stringify(value), "os.img.manifest.json");
  } catch (error) {
    if (error instanceof ReimageError && error.code === "image" && error.hint !== undefined) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("parseManifest", () => {
  test("the least and the fullest manifest come back as they are", () => {
    expect(parseManifest(JSON.stringify(least), "m")).toEqual(least as never);
    expect(parseManifest(JSON.stringify(full), "m")).toEqual(full as never);
  });

  test.each<[string, unknown, string]>([
    ["no JSON", "{", "is no JSON"],
    ["empty", "", "is no JSON"],
    ["null", "null", "manifest os.img.manifest.json: expected a JSON object"],
    ["a list", "[]", "expected a JSON object"],
    ["nothing in it", {}, "schemaVersion is missing; imageId is missing; version is missing; raw is missing"],
    ["a newer schema", { ...least, schemaVersion: 2, surprise: 1 }, "has schemaVersion 2; this reimage understands 1"],
    ["an older schema", { ...least, schemaVersion: 0 }, "schemaVersion: expected 1"],
    ["an unknown field", { ...least, expires: 1 }, 'unknown field "expires"'],
    ["an unknown field further in", { ...least, raw: { ...least.raw, md5: "" } }, 'unknown field "raw.md5"'],
    ["no image id", { ...least, imageId: "" }, "imageId: expected 1 to 256 characters"],
    ["an image id of two lines", { ...least, imageId: "a\nb" }, "imageId: "],
    ["a negative version", { ...least, version: -1 }, "version: must not be negative"],
    [
      "an upper-case digest",
      { ...least, raw: { ...least.raw, sha256: sha256.toUpperCase() } },
      "raw.sha256: expected 64",
    ],
    ["a short digest", { ...least, compressed: { sizeBytes: 1, sha256: "ab" } }, "compressed.sha256: expected 64"],
    ["a size of 0", { ...least, compressed: { sizeBytes: 0, sha256 } }, "compressed.sizeBytes: must be at least 1"],
    ["a size beyond what can be counted", { ...least, raw: { sizeBytes: 2 ** 60, sha256 } }, "raw.sizeBytes: "],
    ["half a byte", { ...least, leastDiskBytes: 0.5 }, "leastDiskBytes: "],
    ["a size as text", { ...least, leastRamBytes: "1" }, "leastRamBytes: expected a whole number of bytes"],
    ["another sector size", { ...least, sectorSizeBytes: 520 }, "sectorSizeBytes: expected 512 or 4096"],
    [
      "half a sector",
      { ...least, raw: { sizeBytes: 2 ** 20 + 512, sha256 }, sectorSizeBytes: 4096 },
      "not a multiple of sector",
    ],
    [
      "partition 0",
      { ...full, partitionTable: [{ number: 0, startBytes: 1, sizeBytes: 1 }] },
      "partitionTable.0.number",
    ],
    ["no hardware in the list", { ...full, hardware: { vendors: [] } }, "hardware.vendors: must not be empty"],
    ["unknown hardware", { ...full, hardware: { serials: ["1"] } }, 'unknown field "hardware.serials"'],
  ])("%s is refused", (_, value, message) => expect(refusal(value)).toContain(message));

  test("everything that is wrong is named at once", () => {
    const message = refusal({ ...least, version: "7", foo: 1, bar: 2 });
    expect(message).toContain("version: expected a whole number");
    expect(message).toContain('unknown field "foo", "bar"');
  });

  test("1,000 mutations: a ReimageError, or a manifest that satisfies the schema", () => {
    const random = createRandom(20260102);
    const text = JSON.stringify(full);
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      try {
        const manifest = parseManifest(mutate(text, random), "m");
        expect(parseManifest(JSON.stringify(manifest), "m")).toEqual(manifest);
        expect(manifest.raw.sha256).toMatch(/^[0-9a-f]{64}$/);
      } catch (error) {
        if (!(error instanceof ReimageError)) throw error;
        expect(error.code).toBe("image");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(800);
  });
});
