import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { parseRetentionList } from "../../../src/retention/list.ts";

function summarize(text: string): string[] {
  return parseRetentionList(text, "list").map((rule) =>
    rule.kind === "move"
      ? `${rule.origin} move ${rule.oldPath} to ${rule.newPath}`
      : `${rule.origin} ${rule.kind} ${rule.pattern.literalPath?.toString() ?? `pattern ${rule.pattern.text}`}`,
  );
}

function refusal(text: string): string {
  try {
    parseRetentionList(text, "/etc/reimage/retentionlist.txt");
  } catch (error) {
    if (error instanceof ReimageError && error.code === "retention-list") return error.message;
    throw error;
  }
  throw new Error(`this list was accepted: ${text}`);
}

test("a plain list of paths, as the seed has it, needs nothing else", () => {
  expect(summarize("/etc/machine-id\n/etc/ssh\n/home/user/my file.txt\n")).toEqual([
    "list:1 retain /etc/machine-id",
    "list:2 retain /etc/ssh",
    "list:3 retain /home/user/my file.txt",
  ]);
});

test("comments, blank lines, a byte order mark and Windows line ends say nothing; spaces belong to the path", () => {
  expect(summarize("\ufeff# list\r\n\r\n   \n/a b \r\n//c///d/./e/\n")).toEqual([
    "list:4 retain /a b ",
    "list:5 retain /c/d/e",
  ]);
});

test("directives", () => {
  expect(summarize("@required /a b\n@exclude /a/**/*.tmp\n@move /old dir -> /new/dir\n/x\\*y")).toEqual([
    "list:1 required /a b",
    "list:2 exclude pattern /a/**/*.tmp",
    "list:3 move /old dir to /new/dir",
    "list:4 retain /x*y",
  ]);
});

describe("a line that cannot be used is named with file, line and reason:", () => {
  const lines: readonly (readonly [string, string])[] = [
    ["etc/passwd", "not an absolute path"],
    [" /etc/passwd", "not an absolute path"],
    ["/etc/../root", '".."'],
    ["/", "root directory"],
    ["//./", "root directory"],
    ["/*", "whole old OS"],
    ["/**/*", "whole old OS"],
    ["@requred /x", "@requred is not known; there are @required, @exclude, @move"],
    ["@required", "not an absolute path"],
    ["@required x", "not an absolute path"],
    ["@move /a", '"@move OLD -> NEW"'],
    ["@move /a -> b", "not an absolute path"],
    ["@move /a -> /b -> /c", "more than one"],
    ["@move /a* -> /b", "paths, not patterns"],
    ["@move /a -> /", "root directory"],
    ["/a\0b", "NUL"],
    ["/a[z-a]", "backwards"],
    ["/a[[:digit:]]", "not supported"],
  ];
  for (const [line, reason] of lines) {
    test(JSON.stringify(line), () => {
      const message = refusal(`/fine\n${line}\n`);
      expect(message).toStartWith(`/etc/reimage/retentionlist.txt:2: "${line}" `);
      expect(message).toContain(reason);
    });
  }
});

test("lines that contradict each other are both named", () => {
  expect(refusal("@move /a -> /b\n@move /a -> /c")).toContain("retentionlist.txt:2");
  expect(refusal("@move /a -> /c\n@move /b -> /c")).toContain("retentionlist.txt:1");
  const message = refusal("@required /var/lib/kiosk/id\n@exclude /var/*/kiosk");
  expect(message).toContain('retentionlist.txt:1: "@required /var/lib/kiosk/id"');
  expect(message).toContain('"@exclude /var/*/kiosk" (/etc/reimage/retentionlist.txt:2)');
});

test("the example list parses, and shows every kind of line", () => {
  const name = "retentionlist.example.txt";
  const rules = parseRetentionList(readFileSync(join(import.meta.dir, "../../..", name), "utf8"), name);
  expect(new Set(rules.map((rule) => rule.kind))).toEqual(new Set(["retain", "required", "exclude", "move"]));
  expect(rules.some((rule) => rule.pattern.literalPath?.toString() === "/srv/what is this?")).toBe(true);
});
