import { describe, expect, test } from "bun:test";
import { chunkBytes, mapChunk } from "../../../src/pack/map-chunk.ts";
import { createSegmenter, type RawSegment, segmentBytes } from "../../../src/pack/segmenter.ts";
import { seeded } from "../disk/make-tables.ts";

const MIB = 1 << 20;

/** An image of zeros with content at some places: the offset, and how many bytes of it. */
type Content = readonly (readonly [offsetBytes: number, sizeBytes: number])[];

interface Cut {
  readonly kind: RawSegment["kind"];
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** The segments of an image, after making sure that they are the image. */
async function cut(image: Buffer): Promise<{ cuts: Cut[]; regions: { offsetBytes: number; sizeBytes: number }[] }> {
  const cuts: Cut[] = [];
  const regions: { offsetBytes: number; sizeBytes: number }[] = [];
  const segmenter = createSegmenter(
    () => Buffer.alloc(segmentBytes, 0xee), // what is left over of an earlier segment must not show
    async (segment) => {
      const { kind, offsetBytes } = segment;
      const data = kind === "content" ? segment.data : Buffer.alloc(segment.sizeBytes);
      expect(data.equals(image.subarray(offsetBytes, offsetBytes + data.length))).toBe(true);
      cuts.push({ kind, offsetBytes, sizeBytes: data.length });
    },
  );
  for (let at = 0; at < image.length; at += chunkBytes) {
    const chunk = image.subarray(at, at + chunkBytes);
    const mapped = mapChunk(chunk);
    regions.push(...mapped.map((region) => ({ ...region, offsetBytes: at + region.offsetBytes })));
    await segmenter.accept(chunk, mapped);
  }
  await segmenter.finish();
  let nextBytes = 0;
  for (const { offsetBytes, sizeBytes } of cuts) {
    expect(offsetBytes).toBe(nextBytes);
    nextBytes += sizeBytes;
  }
  expect(nextBytes).toBe(image.length);
  return { cuts, regions };
}

function imageWith(sizeBytes: number, content: Content): Buffer {
  const image = Buffer.alloc(sizeBytes);
  for (const [offsetBytes, lengthBytes] of content) {
    image.fill(0x5a, offsetBytes, Math.min(offsetBytes + lengthBytes, sizeBytes));
  }
  return image;
}

const shape = (cuts: readonly Cut[]) =>
  cuts.map(({ kind, offsetBytes, sizeBytes }) => `${kind} ${offsetBytes / MIB}+${sizeBytes / MIB}`);

describe("segments", () => {
  test("zeros of a MiB are a segment of their own, fewer are not", async () => {
    const gap = imageWith(6 * MIB, [
      [0, MIB],
      [2 * MIB, MIB],
      [4 * MIB - 4096, MIB],
    ]);
    expect(shape((await cut(gap)).cuts)).toEqual([
      "content 0+1",
      "zeros 1+1",
      `content 2+${3 - 1 / 256}`,
      `zeros ${5 - 1 / 256}+${1 + 1 / 256}`,
    ]);
  });

  test("a run of zeros is one segment however long it is, at the beginning and at the end too", async () => {
    expect(shape((await cut(imageWith(80 * MIB, [[40 * MIB, 4096]]))).cuts)).toEqual([
      "zeros 0+40",
      `content 40+${1 / 256}`,
      `zeros ${40 + 1 / 256}+${40 - 1 / 256}`,
    ]);
    expect(shape((await cut(imageWith(20 * MIB, []))).cuts)).toEqual(["zeros 0+20"]);
    expect(shape((await cut(imageWith(MIB / 2, []))).cuts)).toEqual(["content 0+0.5"]);
  });

  test("content is cut at multiples of 16 MiB", async () => {
    expect(shape((await cut(imageWith(40 * MIB, [[6 * MIB, 33 * MIB]]))).cuts)).toEqual([
      "zeros 0+6",
      "content 6+10",
      "content 16+16",
      "content 32+7",
      "zeros 39+1",
    ]);
  });

  test("any image is divided without gap or overlap, and no mapped region lies in two segments", async () => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const random = seeded(seed);
      const sizeBytes = 512 * (1 + random(80 * 2048));
      const content = Array.from({ length: random(12) }, (): [number, number] => [
        random(sizeBytes),
        random(seed % 2 === 0 ? 12 * MIB : 100_000),
      ]);
      const { cuts, regions } = await cut(imageWith(sizeBytes, content));
      for (const region of regions) {
        const holding = cuts.filter(
          (each) =>
            each.kind === "content" &&
            each.offsetBytes <= region.offsetBytes &&
            region.offsetBytes + region.sizeBytes <= each.offsetBytes + each.sizeBytes,
        );
        expect({ seed, region, holding: holding.length }).toEqual({ seed, region, holding: 1 });
      }
      for (const { kind, sizeBytes: lengthBytes } of cuts)
        expect(kind === "content" ? lengthBytes <= segmentBytes : lengthBytes >= MIB).toBe(true);
    }
  });
});
