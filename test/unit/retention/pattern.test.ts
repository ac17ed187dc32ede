import { describe, expect, test } from "bun:test";
import { decodePath } from "../../../src/retention/path.ts";
import { parsePattern } from "../../../src/retention/pattern.ts";

const cases: readonly { pattern: string; covers: readonly string[]; not: readonly string[] }[] = [
  { pattern: "/a/b", covers: ["/a/b", "/a/b/c/d"], not: ["/a", "/a/bc", "/x/a/b"] },
  { pattern: "/a/*.key", covers: ["/a/.key", "/a/x.key", "/a/x.key/y"], not: ["/a/b/x.key", "/a/x.keys"] },
  { pattern: "/a/?", covers: ["/a/b", "/a/é", "/a/😀"], not: ["/a/", "/a/bc"] },
  { pattern: "/a/??", covers: ["/a/bc"], not: ["/a/é"] },
  { pattern: "/a/[b-dé]x", covers: ["/a/bx", "/a/éx"], not: ["/a/ex", "/a/x"] },
  { pattern: "/a/[!b]", covers: ["/a/c"], not: ["/a/b", "/a/"] },
  { pattern: "/a/[]x]", covers: ["/a/]", "/a/x"], not: ["/a/y"] },
  { pattern: "/usr/bin/[", covers: ["/usr/bin/["], not: ["/usr/bin/x"] },
  { pattern: "/a/**/z", covers: ["/a/z", "/a/b/z", "/a/b/c/z/below"], not: ["/a/yz", "/z"] },
  { pattern: "/a/**", covers: ["/a/b", "/a/b/c"], not: ["/a", "/ab"] },
  { pattern: "/a**b", covers: ["/ab", "/axxb"], not: ["/a/b"] },
  { pattern: "/a\\*b", covers: ["/a*b"], not: ["/axb"] },
  { pattern: "/a\\**", covers: ["/a*", "/a*x"], not: ["/ax"] },
  { pattern: "/a.b+(c)$", covers: ["/a.b+(c)$"], not: ["/axb+(c)$"] },
  { pattern: "/a/new\nline*", covers: ["/a/new\nline\n"], not: ["/a/newline"] },
];

describe("what a pattern covers:", () => {
  for (const { pattern, covers, not } of cases) {
    test(pattern, () => {
      const parsed = parsePattern(pattern);
      expect({
        covers: covers.filter((path) => parsed.covers.test(path)),
        not: not.filter((path) => !parsed.covers.test(path)),
      }).toEqual({ covers: [...covers], not: [...not] });
    });
  }
});

test("a byte that is not UTF-8 is one character", () => {
  const path = decodePath(Buffer.from([0x2f, 0x61, 0x2f, 0xff]));
  expect(parsePattern("/a/?").covers.test(path)).toBe(true);
  expect(parsePattern("/a/??").covers.test(path)).toBe(false);
});
