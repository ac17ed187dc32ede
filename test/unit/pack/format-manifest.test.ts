import { describe, expect, test } from "bun:test";
import {
  LARGEST_MANIFEST_BYTES,
  type Manifest,
  parseManifest,
  type Segment,
} from "../../../src/image/manifest/manifest.ts";
import { formatManifest } from "../../../src/pack/format-manifest.ts";
import { refusalOf } from "../../support/refusal-of.ts";

const sha256 = "0123456789abcdef".repeat(4);

/** A manifest with that many segments of 10 GiB each: large numbers, long lines. */
function withSegments(count: number): Manifest {
  const [packedBytes, rawBytes] = [1_000_000_007, 10 * 2 ** 30];
  const segments = Array.from(
    { length: count },
    (_, i): Segment => ({
      offsetBytes: i * packedBytes,
      sizeBytes: packedBytes,
      rawOffsetBytes: i * rawBytes,
      rawSizeBytes: rawBytes,
    }),
  );
  return {
    schemaVersion: 1,
    imageId: "kiosk",
    version: 1,
    raw: { sizeBytes: count * rawBytes, sha256 },
    compressed: { sizeBytes: count * packedBytes, sha256 },
    sectorSizeBytes: 512,
    segments,
  };
}

describe("formatManifest", () => {
  test("what it writes parses to what it was given, with and without segments", () => {
    const manifest = withSegments(3);
    expect(parseManifest(formatManifest(manifest, "m"), "m")).toEqual(manifest);
    const { segments: _, ...plain } = manifest;
    expect(parseManifest(formatManifest(plain, "m"), "m")).toEqual(plain);
  });

  test("a segment has one line", () => {
    const lines = formatManifest(withSegments(3), "m").split("\n");
    expect(lines.filter((line) => line.includes("rawOffsetBytes")).length).toBe(3);
  });

  test.each([32_768, 32_769, 200_001])("%d segments are listed as few enough, which cover the same", (count) => {
    const manifest = withSegments(count);
    const text = formatManifest(manifest, "m");
    expect(text.length).toBeLessThan(LARGEST_MANIFEST_BYTES);
    const parsed = parseManifest(text, "m"); // refuses gaps and overlaps
    expect(parsed.segments?.length).toBeGreaterThan(8_000);
    expect(parsed.segments?.at(-1)?.offsetBytes).toBeGreaterThan(0);
  });

  test("an image that no manifest can describe is refused", async () => {
    const partition = { startBytes: 2 ** 20, sizeBytes: 2 ** 20 };
    const manifest = { ...withSegments(1), partitionTable: [{ number: 129, ...partition }] };
    const refusal = await refusalOf(Promise.try(() => formatManifest(manifest, "os.manifest.json")));
    expect(refusal).toMatchObject({ code: "image", message: expect.stringMatching(/os\.manifest\.json/) });
  });
});
