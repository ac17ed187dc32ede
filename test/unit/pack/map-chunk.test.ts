import { describe, expect, test } from "bun:test";
import { blockBytes, chunkBytes, isZero, mapChunk } from "../../../src/pack/map-chunk.ts";
import { seeded } from "../disk/make-tables.ts";

const GAP_BLOCKS = 16;

/** The same by the definition, a byte at a time: blocks with a byte that is not zero, gaps of fewer than 16 blocks filled. */
function mapNaively(data: Buffer): { offsetBytes: number; sizeBytes: number }[] {
  const blocks = Array.from({ length: Math.ceil(data.length / blockBytes) }, (_, block) =>
    data.subarray(block * blockBytes, (block + 1) * blockBytes).some((byte) => byte !== 0),
  );
  const mapped = blocks.map((isMapped, block) => {
    if (isMapped) return true;
    const before = blocks.lastIndexOf(true, block);
    const after = blocks.indexOf(true, block);
    return block > 0 && before !== -1 && after !== -1 && after - before - 1 < GAP_BLOCKS;
  });
  const regions: { offsetBytes: number; sizeBytes: number }[] = [];
  for (const [block, isMapped] of mapped.entries()) {
    if (!isMapped) continue;
    const [start, end] = [block * blockBytes, Math.min((block + 1) * blockBytes, data.length)];
    const last = regions.at(-1);
    if (last !== undefined && last.offsetBytes + last.sizeBytes === start) last.sizeBytes = end - last.offsetBytes;
    else regions.push({ offsetBytes: start, sizeBytes: end - start });
  }
  return regions;
}

/** A chunk with single bytes that are not zero. */
function chunkWith(offsets: readonly number[], sizeBytes = chunkBytes): Buffer {
  const data = Buffer.alloc(sizeBytes);
  for (const at of offsets) data.writeUInt8(1, at);
  return data;
}

describe("mapChunk", () => {
  test("zeros are nothing, whatever the length", () => {
    for (const sizeBytes of [0, 1, 512, blockBytes, chunkBytes]) expect(mapChunk(Buffer.alloc(sizeBytes))).toEqual([]);
    expect(isZero(chunkWith([chunkBytes - 1]))).toBe(false);
  });

  test("a single byte is a block, the first and the last one too", () => {
    expect(mapChunk(chunkWith([0]))).toEqual([{ offsetBytes: 0, sizeBytes: blockBytes }]);
    expect(mapChunk(chunkWith([chunkBytes - 1]))).toEqual([
      { offsetBytes: chunkBytes - blockBytes, sizeBytes: blockBytes },
    ]);
  });

  test("a gap of 60 KiB is filled, one of 64 KiB is not", () => {
    expect(mapChunk(chunkWith([0, 16 * blockBytes]))).toEqual([{ offsetBytes: 0, sizeBytes: 17 * blockBytes }]);
    expect(mapChunk(chunkWith([0, 17 * blockBytes]))).toEqual([
      { offsetBytes: 0, sizeBytes: blockBytes },
      { offsetBytes: 17 * blockBytes, sizeBytes: blockBytes },
    ]);
  });

  test("the last block of an image may be shorter", () => {
    expect(mapChunk(chunkWith([blockBytes], blockBytes + 512))).toEqual([{ offsetBytes: blockBytes, sizeBytes: 512 }]);
  });

  test("agrees with the definition on chunks of any shape", () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const random = seeded(seed);
      const sizeBytes = 512 * (1 + random(1024));
      const offsets = Array.from({ length: random(seed % 3 === 0 ? 40 : 6) }, () => random(sizeBytes));
      const data = chunkWith(offsets, sizeBytes);
      expect({ seed, regions: mapChunk(data) }).toEqual({ seed, regions: mapNaively(data) });
    }
  });
});
