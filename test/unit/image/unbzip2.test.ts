import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { ReimageError } from "../../../src/errors.ts";
import { createBz2StreamScanner } from "../../../src/image/stream-end/bz2.ts";
import { decodeBz2 } from "../../../src/image/unbzip2.ts";
import { seeded } from "../disk/make-tables.ts";

const random = seeded(7);
const content = Buffer.from(Array.from({ length: 1200 }, () => random(256)));
const packed = execFileSync("bzip2", ["-c"], { input: content });

/** The bytes of a file, in pieces that are only lent, as a source gives them. */
async function* lend(file: Buffer): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(1000);
  for (let at = 0; at < file.length; at += piece.length) {
    yield piece.subarray(0, file.copy(piece, 0, at, at + piece.length));
    piece.fill(0xee);
  }
}

/** What the decoder makes of a file, judged by its stream ends too; null where either refuses. */
async function decode(file: Buffer): Promise<Buffer | null> {
  try {
    const scanner = createBz2StreamScanner("file");
    scanner.update(file);
    scanner.finish();
    const pieces: Uint8Array[] = [];
    for await (const piece of decodeBz2(lend(file), "file")) pieces.push(Uint8Array.from(piece));
    return Buffer.concat(pieces);
  } catch {
    return null;
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

test("ending it in the middle ends the reading", async () => {
  let isClosed = false;
  async function* input(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield packed;
    } finally {
      isClosed = true;
    }
  }
  for await (const piece of decodeBz2(input(), "file")) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  expect(isClosed).toBe(true);
});

test("what the input throws is thrown", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield packed.subarray(0, 100);
    throw new ReimageError("image", "the medium is broken");
  }
  expect(decodeBz2(failing(), "file").next()).rejects.toThrow("the medium is broken");
});
