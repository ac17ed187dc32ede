import { expect, test } from "bun:test";
import { decodePath, displayPath, encodePath, isAtOrBelow, splitPath } from "../../../src/retention/path.ts";

test("any bytes survive decoding and encoding", () => {
  const all = Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1));
  const samples = [all, Buffer.from("plain"), Buffer.from("é😀"), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xc3])];
  for (const bytes of [...samples, Buffer.concat([Buffer.from("😀"), Buffer.of(0x80), Buffer.from("é")])]) {
    expect(encodePath(decodePath(bytes))).toEqual(bytes);
  }
});

test("a path in a message stays on one line and is unambiguous", () => {
  expect(displayPath(Buffer.from([0x2f, 0x61, 0x0a, 0x5c, 0xff, 0xc3, 0xa9]))).toBe("/a\\012\\\\\\377é");
});

test("names of a path", () => {
  expect(splitPath(Buffer.from("//a/./b//..")).map(String)).toEqual(["a", "b", ".."]);
  expect(isAtOrBelow(Buffer.from("/a/b"), Buffer.from("/a"))).toBe(true);
  expect(isAtOrBelow(Buffer.from("/ab"), Buffer.from("/a"))).toBe(false);
});
