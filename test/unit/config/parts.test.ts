import { describe, expect, test } from "bun:test";
import { parseKernelCommandLine } from "../../../src/config/kernel-command-line.ts";
import { parseSource } from "../../../src/config/names.ts";
import { editDistance, nearest } from "../../../src/config/nearest.ts";
import { parseSetOption } from "../../../src/config/set-option.ts";
import { parseSize } from "../../../src/config/size.ts";
import { parseTargetSelector } from "../../../src/config/target-selector.ts";
import { findKeyLines } from "../../../src/config/yaml-file.ts";

describe("parseKernelCommandLine", () => {
  const parse = (text: string) => parseKernelCommandLine(text).map(({ key, value }) => [key, value]);

  test.each([
    [
      "BOOT_IMAGE=/vmlinuz root=/dev/sda2 quiet reimage=1 xreimage.log=/x reimage.log=/kiosk/log\n",
      [["log", "/kiosk/log"]],
    ],
    ["reimage.old.root=LABEL=root", [["old.root", "LABEL=root"]]],
    ['reimage.target.disk="serial=A B model=X"', [["target.disk", "serial=A B model=X"]]],
    [
      '"reimage.target.disk=serial=A B"\treimage.log=/x',
      [
        ["target.disk", "serial=A B"],
        ["log", "/x"],
      ],
    ],
    ["reimage.new.mounts./a.b=6", [["new.mounts./a.b", "6"]]],
    [
      "reimage.log= reimage.shells",
      [
        ["log", ""],
        ["shells", ""],
      ],
    ],
    ['reimage.a="x y', [["a", "x y"]]],
    ['reimage.a=x"y z"', [["a", 'x"y z"']]],
    [
      "reimage.a=1 reimage.a=2",
      [
        ["a", "1"],
        ["a", "2"],
      ],
    ],
    ["", []],
  ])("%s", (text, expected) => expect(parse(text)).toEqual(expected));

  test("says where a key comes from", () => {
    expect(parseKernelCommandLine("reimage.a=1")[0]?.origin).toBe("the kernel command line");
  });
});

describe("parseSetOption", () => {
  test("the value is everything after the first =", () => {
    expect(parseSetOption("old.root=LABEL=a b")).toEqual({
      key: "old.root",
      value: "LABEL=a b",
      origin: "--set old.root",
    });
    expect(parseSetOption("log=")).toMatchObject({ key: "log", value: "" });
  });
  test.each(["log", "=x", ""])("%p is refused", (text) =>
    expect(() => parseSetOption(text)).toThrow("expected key=value"),
  );
});

describe("parseSize", () => {
  test.each<[string | number, number | null]>([
    [500107862016, 500107862016],
    ["500107862016", 500107862016],
    ["500 GB", 500e9],
    ["8GiB", 8 * 2 ** 30],
    ["64kB", 64000],
    ["1B", 1],
    ["465.8 GiB", null],
    ["8G", null],
    ["8 gib", null],
    ["", null],
    ["GiB", null],
    [-1, null],
    [0, null],
    [1.5, null],
    ["9007199254740993", null],
    ["99999999999 TiB", null],
    ["0x10", null],
    ["8 toString", null],
  ])("%p is %p", (text, bytes) => expect(parseSize(text)).toBe(bytes));
});

describe("parseTargetSelector", () => {
  test.each<[unknown, object]>([
    ["old-root", { kind: "old-root", named: true }],
    ["serial=ABC", { kind: "match", serial: "ABC" }],
    [
      "serial=ABC model=Samsung SSD 860 size=500107862016",
      { kind: "match", serial: "ABC", model: "Samsung SSD 860", sizeBytes: 500107862016 },
    ],
    ["size=8 GiB wwn=0x5000 path=/dev/sda", { kind: "match", wwn: "0x5000", path: "/dev/sda", sizeBytes: 2 ** 33 }],
    ["model=a  b ", { kind: "match", model: "a  b" }],
    [
      { serial: "ABC", size: 8e9 },
      { kind: "match", serial: "ABC", sizeBytes: 8e9 },
    ],
    [{ model: "Odd modle=X" }, { kind: "match", model: "Odd modle=X" }],
  ])("%p", (value, selector) => expect(parseTargetSelector(value)).toEqual({ selector } as never));

  test.each<[unknown, string]>([
    ["/dev/sda", "for this device write path=/dev/sda"],
    ["ABC serial=X", "names no disk"],
    ["serial=A modle=X", 'unknown disk property "modle"; did you mean model?'],
    ["vendor=A serial=B", 'unknown disk property "vendor"'],
    ["serial=A serial=B", "serial= is given twice"],
    ["serial= model=X", "serial must be one line of text and not empty"],
    ["size=8G", 'size "8G" is not exact'],
    ["path=sda", 'path "sda" is not below /dev'],
    ["", "names no disk"],
    ["OLD-ROOT", "names no disk"],
    [{}, "expected old-root, or one or more of"],
    [[], "expected old-root, or one or more of"],
    [null, "expected old-root, or one or more of"],
    [7, "expected old-root, or one or more of"],
    [{ serial: 123 }, "serial: expected text (put a value made of digits in quotes)"],
    [{ serail: "A" }, 'unknown disk property "serail"; did you mean serial?'],
    [{ serial: " " }, "serial must be one line of text and not empty"],
  ])("%p is refused", (value, message) => {
    const outcome = parseTargetSelector(value);
    expect("problem" in outcome ? outcome.problem : outcome).toContain(message);
  });
});

describe("parseSource", () => {
  test.each([
    ["LABEL=data:/os.img", { kind: "filesystem", fileSystem: "LABEL=data", path: "/os.img" }],
    ["LABEL=my data:x:/a:/b", { kind: "filesystem", fileSystem: "LABEL=my data:x", path: "/a:/b" }],
    [
      "/dev/disk/by-path/pci-0000:00:1f.2-ata-1:/os.img",
      { kind: "filesystem", fileSystem: "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", path: "/os.img" },
    ],
    ["/images/os.img", { kind: "file", path: "/images/os.img" }],
    ["/images/a:/b", { kind: "file", path: "/images/a:/b" }],
    ["https://h:8/os.img.zst?x=1", { kind: "url", url: "https://h:8/os.img.zst?x=1" }],
    ["/dev/sda", null],
    ["data:/os.img", null],
  ])("%s", (text, source) => expect(parseSource(text)).toEqual(source as never));
});

describe("nearest", () => {
  test("edit distance", () => {
    expect([editDistance("", ""), editDistance("abc", ""), editDistance("kitten", "sitting")]).toEqual([0, 3, 3]);
  });
  test("a name without its section, and one of absurd length", () => {
    expect(nearest("list", ["log", "retention.list"])).toBe("retention.list");
    expect(nearest("x".repeat(1e6), ["log"])).toBe("log");
  });
});

describe("findKeyLines", () => {
  test("finds nested and quoted keys and mount points, not comments or what is in braces", () => {
    const text =
      'image: # x\n  # source: a\n  source: LABEL=a:/b\n"log": /x\nnew:\n  mounts:\n    /kiosk: 6\n  root: { a: b }\nlog: y\r\n';
    expect([...findKeyLines(text)]).toEqual([
      ["image", [1]],
      ["image.source", [3]],
      ["log", [4, 9]],
      ["new", [5]],
      ["new.mounts", [6]],
      ["new.mounts./kiosk", [7]],
      ["new.root", [8]],
    ]);
  });
});
