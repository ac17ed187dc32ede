import { expect, test } from "bun:test";
import { oneShotCommandLine } from "../../../src/one-shot/command-line.ts";
import { formatLoaderEntry } from "../../../src/one-shot/entry-file.ts";
import { formatExtlinuxEntry } from "../../../src/one-shot/extlinux.ts";
import { describeFallback } from "../../../src/one-shot/fallback.ts";
import { formatLoaderText, parseLoaderText } from "../../../src/one-shot/loader-variables.ts";
import { withBlock, withoutBlock } from "../../../src/one-shot/marked-block.ts";
import { oneShotMethods } from "../../../src/one-shot/request.ts";

test("the command line restarts the machine after a panic, as the caller wants it or after 30 seconds", () => {
  expect(oneShotCommandLine("  console=ttyS0\tquiet ")).toBe("console=ttyS0 quiet panic=30");
  expect(oneShotCommandLine("panic=5 quiet")).toBe("panic=5 quiet");
  expect(oneShotCommandLine("")).toBe("panic=30");
});

test.each(['a="b c"', "it's", "back\\slash", "new\nline", "dollar$x", "umläut", "nul\0"])(
  "a command line with %j is refused",
  (word) => {
    expect(() => oneShotCommandLine(`quiet ${word}`)).toThrow("no boot loader hands on");
  },
);

test("a command line that the kernel would cut is refused", () => {
  expect(oneShotCommandLine(`panic=1 ${"a".repeat(2039)}`)).toHaveLength(2047);
  expect(() => oneShotCommandLine(`panic=1 ${"a".repeat(2040)}`)).toThrow("2048 bytes");
});

test.each(["", "set a=1\n", "set a=1\n\n# END reimage\n", "no line end"])("our lines come and go in %j", (text) => {
  const once = withBlock(text, ["first"]);
  const again = withBlock(once, ["second"]);
  expect(again).not.toContain("first");
  expect(again.match(/second/g)).toHaveLength(1);
  const left = withoutBlock(again);
  expect(left).toBe(text === "no line end" ? "no line end\n" : text);
});

test("lines of others around ours stay, and a beginning without an end is somebody's", () => {
  const inMiddle = `first\n${withBlock("", ["ours"])}last\n`;
  expect(withoutBlock(inMiddle)).toBe("first\nlast\n");
  const cut = `${withBlock("first\n", ["ours"]).replace(/# END.*\n/, "")}last\n`;
  expect(withoutBlock(cut)).toBe(cut);
  expect(withoutBlock(withBlock(cut, ["ours"]))).toBe(cut);
});

test("loaders are given their own forms", () => {
  const files = { kernel: "/reimage/vmlinuz", initramfs: "/reimage/initramfs.img", commandLine: "quiet panic=30" };
  expect(formatLoaderEntry({ title: "once", ...files }, ["grub_arg --unrestricted"])).toBe(
    "title once\nlinux /reimage/vmlinuz\ninitrd /reimage/initramfs.img\noptions quiet panic=30\ngrub_arg --unrestricted\n",
  );
  expect(formatExtlinuxEntry(files)).toEqual([
    "LABEL reimage-once",
    "  LINUX /reimage/vmlinuz",
    "  INITRD /reimage/initramfs.img",
    "  APPEND quiet panic=30",
  ]);
});

test("loader variables are UTF-16 up to a zero", () => {
  expect(formatLoaderText("ab")).toEqual(Buffer.from([0x61, 0, 0x62, 0, 0, 0]));
  expect(parseLoaderText(Buffer.from([0x61, 0, 0, 0, 0x62, 0]))).toBe("a");
  expect(parseLoaderText(Buffer.from([0x61]))).toBe("");
});

test("each method says what becomes of the machine", () => {
  for (const method of oneShotMethods) {
    expect(describeFallback(method)).toMatch(/panics.*hangs.*power cut/s);
  }
});
