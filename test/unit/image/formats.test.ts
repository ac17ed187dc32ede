import { expect, test } from "bun:test";
import { detectFormat, formatHeadBytes } from "../../../src/image/formats.ts";
import { gptHead, mbrSector } from "../disk/make-tables.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

test.each([
  ["bz2, any level", Buffer.from("BZh1..."), "bz2"],
  ["bz2", Buffer.from("BZh91AY&SY"), "bz2"],
  ["bz2 of no level", Buffer.from("BZh0..."), null],
  ["bzip1", Buffer.from("BZ09..."), null],
  ["gz", hex("1f 8b 08 00"), "gz"],
  ["xz", hex("fd 37 7a 58 5a 00"), "xz"],
  ["zst", hex("28 b5 2f fd"), "zst"],
  ["zst by pzstd", hex("50 2a 4d 18 04 00 00 00"), "zst"],
  ["an MBR", mbrSector([{ type: 0x83, start: 1, sectors: 1 }]), "raw"],
  ["a GPT", gptHead([], { sector: 512, diskSectors: 4096 }), "raw"],
  ["a GPT without its MBR", Buffer.concat([Buffer.alloc(512), Buffer.from("EFI PART")]), "raw"],
  ["a GPT for large sectors without its MBR", Buffer.concat([Buffer.alloc(4096), Buffer.from("EFI PART")]), "raw"],
  ["nothing", Buffer.alloc(0), null],
  ["a byte", Buffer.from("B"), null],
  ["text", Buffer.from("This is not an image.\n".repeat(500)), null],
  ["zeros", Buffer.alloc(formatHeadBytes), null],
  ["a zip file", hex("50 4b 03 04"), null],
] as const)("%s", (_what, head, format) => {
  expect(detectFormat(head)).toBe(format);
});
