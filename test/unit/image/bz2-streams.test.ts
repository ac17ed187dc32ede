import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { ReimageError } from "../../../src/errors.ts";
import { createBz2StreamScanner } from "../../../src/image/stream-end/bz2.ts";

/** Bytes that look random and are always the same. */
function seededBytes(seed: string, sizeBytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < sizeBytes; i += 1) blocks.push(createHash("sha256").update(`${seed}${i}`).digest());
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

function compress(tool: "lbzip2" | "bzip2" | "pbzip2", data: Buffer): Buffer {
  return execFileSync(tool, ["-c", ...(tool === "pbzip2" ? ["-b1"] : [])], { input: data, maxBuffer: 1 << 28 });
}

/** The verdict over a file that arrives in pieces of `pieceBytes`. */
function judge(file: Buffer, pieceBytes = 65536): string {
  const scanner = createBz2StreamScanner("os.img.bz2");
  try {
    for (let at = 0; at < file.length; at += pieceBytes) scanner.update(file.subarray(at, at + pieceBytes));
    scanner.finish();
    return "whole";
  } catch (error) {
    if (error instanceof ReimageError && error.code === "image") return error.message;
    throw error;
  }
}

// Many sizes, so that streams end at every bit offset.
const sizes = Array.from({ length: 24 }, (_, i) => 1000 + i * 137);
const small = sizes.map((size) => compress("bzip2", seededBytes("small", size)));
const data = seededBytes("large", 3_000_000);
const large = { lbzip2: compress("lbzip2", data), bzip2: compress("bzip2", data), pbzip2: compress("pbzip2", data) };
const voidStream = compress("bzip2", Buffer.alloc(0));

describe("files that are whole", () => {
  test.each(Object.entries(large))("one written by %s", (_tool, file) => {
    expect(judge(file)).toBe("whole");
  });
  test("streams that end at every bit offset, in pieces of every size", () => {
    for (const file of small) for (const piece of [1, 7, 10, 11, 4096]) expect(judge(file, piece)).toBe("whole");
  });
  test("three streams behind each other, with a void one among them", () => {
    expect(judge(Buffer.concat([large.lbzip2, voidStream, large.pbzip2, voidStream]))).toBe("whole");
  });
  test("a file larger than the window, with stream ends near its edges", () => {
    expect(judge(Buffer.concat(Array.from({ length: 400 }, () => small).flat()), 1 << 20)).toBe("whole");
  });
});

describe("files that are not", () => {
  test.each([1, 2, 3, 4, 9, 10, 11, 1000])("cut by %d bytes", (cut) => {
    for (const file of [...small, large.lbzip2]) expect(judge(file.subarray(0, -cut))).toContain("cut off");
  });
  test("cut in half", () => {
    expect(judge(large.lbzip2.subarray(0, large.lbzip2.length / 2))).toContain("cut off");
  });
  test("empty", () => {
    expect(judge(Buffer.alloc(0))).toContain("cut off");
  });
  test.each([
    ["random bytes", seededBytes("garbage", 1000)],
    ["zeros", Buffer.alloc(512)],
    ["one byte", Buffer.of(0)],
    ["a header without a stream", Buffer.from("BZh9")],
    ["a header and rubbish", Buffer.from("BZh9 and rubbish")],
    ["a gz file", Buffer.from("1f8b0800", "hex")],
  ])("with %s behind the end", (_what, garbage) => {
    const verdict = /no bzip2 stream at byte \d+|cut off/;
    for (const file of [...small, large.lbzip2]) expect(judge(Buffer.concat([file, garbage]))).toMatch(verdict);
    for (const file of small) expect(judge(Buffer.concat([file, garbage]), 3)).toMatch(verdict);
  });
  test("with something between two streams, where lbzip2 would silently stop", () => {
    const file = Buffer.concat([large.lbzip2, Buffer.from("x"), large.lbzip2]);
    expect(judge(file)).toContain(`no bzip2 stream at byte ${large.lbzip2.length}`);
  });
});
