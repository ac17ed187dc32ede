/** What lies where in a lifeboat. */
import { expect, test } from "bun:test";
import type { Region } from "../../../src/image/regions.ts";
import { alignmentBytes, bootLayout, layOutBulk, mapBulk } from "../../../src/lifeboat/layout.ts";
import { openText, sealText } from "../../../src/lifeboat/sealed-text.ts";
import { createRandom } from "../../support/random.ts";

test("the parts of the boot extent do not overlap, and each copy of the record has sectors of its own", () => {
  const parts = [
    [bootLayout.header, bootLayout.headerBytes],
    [bootLayout.records[0], bootLayout.recordBytes],
    [bootLayout.records[1], bootLayout.recordBytes],
    [bootLayout.tableEntries, 64 << 10],
    [bootLayout.oldHead, 1 << 20],
    [bootLayout.volume, 0],
  ] as const;
  for (const [i, [start, size]] of parts.entries()) {
    expect(start % alignmentBytes).toBe(0);
    const next = parts[i + 1];
    if (next !== undefined) expect(start + size).toBeLessThanOrEqual(next[0]);
  }
});

test("the bulk has room for everything, in whole blocks, and nothing shares one", () => {
  const random = createRandom(3);
  for (let round = 0; round < 200; round += 1) {
    const needs = {
      imageBytes: random.below(1e9),
      retainedBytes: random.below(1e8),
      factsBytes: 1 + random.below(1e7),
    };
    const { layout, sizeBytes } = layOutBulk(needs);
    const parts = [...layout.facts, layout.retained, layout.image];
    let at = 0;
    for (const { offsetBytes, sizeBytes: partBytes } of parts) {
      expect(offsetBytes).toBe(at);
      expect(partBytes % alignmentBytes).toBe(0);
      at += partBytes;
    }
    expect(at).toBe(sizeBytes);
    expect(layout.image.sizeBytes).toBeGreaterThanOrEqual(needs.imageBytes);
    expect(layout.retained.sizeBytes).toBeGreaterThanOrEqual(needs.retainedBytes);
    expect(layout.facts[1].sizeBytes).toBeGreaterThanOrEqual(needs.factsBytes);
  }
});

test("a stretch of the bulk is found on the disk byte by byte", () => {
  const random = createRandom(4);
  for (let round = 0; round < 300; round += 1) {
    const extents: Region[] = [];
    let at = 0;
    for (let i = 0; i < 1 + random.below(6); i += 1) {
      at += random.below(5);
      const sizeBytes = 1 + random.below(6);
      extents.push({ offsetBytes: at, sizeBytes });
      at += sizeBytes;
    }
    const bytes = extents.flatMap(({ offsetBytes, sizeBytes }) =>
      Array.from({ length: sizeBytes }, (_, i) => offsetBytes + i),
    );
    const offsetBytes = random.below(bytes.length);
    const sizeBytes = random.below(bytes.length - offsetBytes + 1);
    const mapped = mapBulk(extents, { offsetBytes, sizeBytes }).flatMap((region) =>
      Array.from({ length: region.sizeBytes }, (_, i) => region.offsetBytes + i),
    );
    expect(mapped).toEqual(bytes.slice(offsetBytes, offsetBytes + sizeBytes));
    expect(() => mapBulk(extents, { offsetBytes, sizeBytes: bytes.length + 1 })).toThrow(/has no bytes/);
  }
});

test("sealed text says whether it is whole, and refuses to be cut", () => {
  const block = sealText("magic\n", "the text", 128);
  expect(openText("magic\n", block)).toBe("the text");
  expect(openText("other\n", block)).toBeNull();
  for (let at = 0; at < block.length; at += 1) {
    const broken = Buffer.from(block);
    broken.writeUInt8(broken.readUInt8(at) ^ 1, at);
    expect(openText("magic\n", broken)).toBeNull();
  }
  for (let size = 0; size < block.length; size += 1) expect(openText("magic\n", block.subarray(0, size))).toBeNull();
  expect(() => sealText("magic\n", "x".repeat(100), 128)).toThrow(/do not fit/);
});
