import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createCompressor, parallelSegments } from "../../../src/pack/compressor.ts";
import { createSegmentWriter, type SegmentWriter } from "../../../src/pack/segment-writer.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;

/** Adds a segment of content with one byte all over. */
async function addContent(writer: SegmentWriter, offsetBytes: number, sizeBytes: number, byte: number): Promise<void> {
  const data = writer.takeBuffer().subarray(0, sizeBytes).fill(byte);
  await writer.add({ kind: "content", offsetBytes, data });
}

describe("the writer of segments", () => {
  test("every segment decodes alone to its stretch, and all of them in a row to the image", async () => {
    const pieces: Buffer[] = [];
    await using writer = createSegmentWriter(createCompressor("zst", 1), async (piece) => {
      pieces.push(Buffer.from(piece));
    });
    const image = Buffer.alloc(140 * MIB);
    for (let i = 0; i < 12; i += 1) {
      image.fill(i + 1, i * 100 * KIB, (i + 1) * 100 * KIB);
      await addContent(writer, i * 100 * KIB, 100 * KIB, i + 1);
    }
    await writer.add({ kind: "zeros", offsetBytes: 1200 * KIB, sizeBytes: image.length - 1200 * KIB });
    const { sizeBytes, sha256, segments } = await writer.finish();
    const file = Buffer.concat(pieces);
    expect(file.length).toBe(sizeBytes);
    expect(createHash("sha256").update(file).digest("hex")).toBe(sha256);
    expect(segments.length).toBe(13);
    for (const { offsetBytes, sizeBytes: packedBytes, rawOffsetBytes, rawSizeBytes } of segments) {
      const raw = Bun.zstdDecompressSync(file.subarray(offsetBytes, offsetBytes + packedBytes));
      expect(raw.equals(image.subarray(rawOffsetBytes, rawOffsetBytes + rawSizeBytes))).toBe(true);
    }
  });

  test("segments are written in order, however long each takes, and only so many are in work at a time", async () => {
    const written: number[] = [];
    const waiting: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const compress = async (data: Buffer) => {
      const name = Buffer.of(data[0] ?? 0);
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => waiting.push(resolve));
      running -= 1;
      return name;
    };
    await using writer = createSegmentWriter(compress, async (piece) => void written.push(...piece));
    const total = parallelSegments + 3;
    const adding = (async () => {
      for (let i = 0; i < total; i += 1) await addContent(writer, i, 1, i + 1);
      return await writer.finish();
    })();
    let isDone = false;
    void adding.then(() => {
      isDone = true;
    });
    while (!isDone) {
      waiting.pop()?.(); // the youngest first
      await new Promise(setImmediate);
    }
    expect(written).toEqual(Array.from({ length: total }, (_, i) => i + 1));
    expect(most).toBe(parallelSegments);
  });

  test("a run of zeros is packed once, and written as often as it has to be", async () => {
    const sizes: number[] = [];
    let writtenBytes = 0;
    const compress = async (data: Buffer) => {
      sizes.push(data.length / MIB);
      return Buffer.of(0);
    };
    await using writer = createSegmentWriter(compress, async (piece) => {
      writtenBytes += piece.length;
    });
    await writer.add({ kind: "zeros", offsetBytes: 0, sizeBytes: 1000 * MIB });
    const { segments } = await writer.finish();
    expect(sizes).toEqual([64, 40]);
    expect(writtenBytes).toBe(16);
    expect(segments).toEqual([{ offsetBytes: 0, sizeBytes: 16, rawOffsetBytes: 0, rawSizeBytes: 1000 * MIB }]);
  });

  test.each(["compressing", "writing"])("a failure in %s is told, and nothing is written behind it", async (where) => {
    const written: number[] = [];
    const compress = async (data: Buffer) => {
      if (where === "compressing" && data[0] === 2) throw new Error("broken");
      return Buffer.of(data[0] ?? 0);
    };
    await using writer = createSegmentWriter(compress, async (piece) => {
      if (where === "writing" && piece[0] === 2) throw new Error("broken");
      written.push(...piece);
    });
    const adding = async () => {
      for (let i = 0; i < 10; i += 1) await addContent(writer, i, 1, i + 1);
      await writer.finish();
    };
    await expect(adding()).rejects.toThrow("broken");
    expect(written).toEqual([1]);
  });
});
