import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBz2StreamScanner } from "../../../src/image/bz2-streams.ts";
import { startUnbzip2 } from "../../../src/image/unbzip2.ts";
import { seeded } from "../disk/make-tables.ts";

const random = seeded(7);
const content = Buffer.from(Array.from({ length: 1200 }, () => random(256)));
const packed = execFileSync("bzip2", ["-c"], { input: content });

/** What the decoder makes of a file, judged by its stream ends too; null where either refuses. */
async function decode(file: Buffer): Promise<Buffer | null> {
  const directory = mkdtempSync(join(tmpdir(), "reimage-unit-"));
  try {
    const path = join(directory, "file.bz2");
    writeFileSync(path, file);
    const scanner = createBz2StreamScanner(path);
    scanner.update(file);
    scanner.finish();
    const decoder = startUnbzip2(path);
    const pieces: Uint8Array[] = [];
    for await (const piece of decoder.output) pieces.push(Uint8Array.from(piece));
    await decoder.finished();
    return Buffer.concat(pieces);
  } catch {
    return null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test("a whole file, and several streams behind each other", async () => {
  expect((await decode(packed))?.equals(content)).toBe(true);
  expect((await decode(Buffer.concat([packed, packed])))?.equals(Buffer.concat([content, content]))).toBe(true);
});

test("blocks that are much larger than what they are packed in", async () => {
  const zeros = Buffer.alloc(20_000_000);
  expect((await decode(execFileSync("bzip2", ["-c"], { input: zeros })))?.equals(zeros)).toBe(true);
});

test("no flipped bit is decoded to something else", async () => {
  let refused = 0;
  let flipped = 0;
  // Every bit of header and trailer matters in its own way; of the block between them every seventh byte is enough.
  const inMiddle = (i: number) => i > 32 && i < packed.length - 32;
  for (let i = 0; i < packed.length; i += inMiddle(i) ? 7 : 1) {
    flipped += 1;
    const decoded = await decode(Buffer.from(packed.with(i, (packed[i] ?? 0) ^ (1 << (i % 8)))));
    if (decoded === null) refused += 1;
    else expect({ i, isSame: decoded.equals(content) }).toEqual({ i, isSame: true });
  }
  expect(refused).toBeGreaterThan(flipped - 16);
});

test("no cut file is accepted", async () => {
  for (let cut = 1; cut <= packed.length; cut += cut < 32 ? 1 : 37) {
    expect({ cut, decoded: await decode(packed.subarray(0, -cut)) }).toEqual({ cut, decoded: null });
  }
});

test("stopping it in the middle ends it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "reimage-unit-"));
  try {
    const path = join(directory, "file.bz2");
    writeFileSync(path, Buffer.concat(Array.from({ length: 200 }, () => packed)));
    const decoder = startUnbzip2(path);
    for await (const piece of decoder.output) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await decoder.stop();
    await decoder.finished();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
