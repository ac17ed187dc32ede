import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { contenders, limitedContenders } from "../../../scripts/bench/contenders.ts";
import { formatFigures, replaceFigures } from "../../../scripts/bench/document.ts";
import { parseOptions } from "../../../scripts/bench/options.ts";
import { parseLibraries } from "../../../scripts/bench/seed-initramfs.ts";
import { asMarkdown, asText } from "../../../scripts/bench/table.ts";

const document = readFileSync(join(import.meta.dir, "../../../docs/benchmarks.md"), "utf8");
const figures = { median_s: 31.234, min_s: 30, max_s: 32, peak_mb: 6.2, cpu_s: 29.5 };
const ratios = {
  bz2_vs_seed: 0.41,
  bz2_vs_bmaptool: 0.6,
  zst_vs_bmaptool: 0.8,
  zst_vs_device: 2.5,
  readback_cost: 0.25,
};

describe("docs/benchmarks.md", () => {
  test("has a place for the figures, whose replacement leaves the rest alone", () => {
    const once = replaceFigures(document, "FIRST");
    const twice = replaceFigures(once, "SECOND");
    expect(once).toContain("\n\nFIRST\n\n");
    expect(twice).not.toContain("FIRST");
    expect(twice.replace("SECOND", "FIRST")).toBe(once);
  });
  test("without a place for them is refused", () => {
    expect(() => replaceFigures("# Benchmarks\n", "FIRST")).toThrow("no place for the figures");
  });
});

describe("the figures", () => {
  test("hold the table, the commands, and which ratio missed its reach", () => {
    const results = {
      runs: { seed: figures },
      ratios,
      ratios_with_readback: ratios,
      rounds: 5,
      commands: { seed: "bzcat x" },
    };
    const text = formatFigures(results);
    expect(text).toContain("| seed | 31.23 | 30.00–32.00 | 6 | 29.50 |");
    expect(text).toMatch(/^seed +bzcat x$/m);
    expect(text).toMatch(/^\| bz2_vs_seed \| 0\.41 \| 0\.41 \| 0\.40 \| missed \|$/m);
    expect(text).toMatch(/^\| zst_vs_bmaptool \|.*\| reached \|$/m);
  });
  test("say why there are none of limited devices", () => {
    expect(formatFigures({ limited: [], limited_missing: "no such kernel" })).toContain(
      "Not measured: no such kernel.",
    );
  });
});

test("tables have their columns in line", () => {
  const rows = [
    ["", "s"],
    ["a", "10.5"],
    ["longer", "3"],
  ];
  expect(asText(rows).split("\n")).toEqual(["             s", "  a       10.5", "  longer     3"]);
  expect(asMarkdown(rows).split("\n")[1]).toBe("| --- | --: |");
});

test("every contender has a name of its own, ends synced, and reads what it says", () => {
  expect(new Set(contenders.map(({ name }) => name)).size).toBe(contenders.length);
  for (const { command, reads } of contenders) {
    expect(command).toMatch(/conv=fsync|bmaptool|write-image/);
    expect(command).toContain(`"$${reads}"`);
  }
  expect(limitedContenders.map(({ name }) => name)).toContain("seed");
});

describe("the environment", () => {
  test("asks for five rounds of everything unless it says otherwise", () => {
    const { rounds, limitedRounds, windowRounds, parts } = parseOptions({});
    expect({ rounds, limitedRounds, windowRounds, parts }).toEqual({
      ...{ rounds: 5, limitedRounds: 3, windowRounds: 3, parts: ["write", "limited", "window"] },
    });
  });
  test("of one round means one round of every part", () => {
    expect(parseOptions({ BENCH_ROUNDS: "1" })).toMatchObject({ rounds: 1, limitedRounds: 1, windowRounds: 1 });
  });
  test.each([
    [{ BENCH_ROUNDS: "0" }, "BENCH_ROUNDS=0"],
    [{ BENCH_ROUNDS: "many" }, "BENCH_ROUNDS=many"],
    [{ BENCH_PARTS: "write,read" }, "there is no part read"],
  ])("that makes no sense is refused: %p", (environment, words) => {
    expect(() => parseOptions(environment)).toThrow(words);
  });
});

test("the libraries of a program are found in what ldd prints", () => {
  const ldd = `	linux-vdso.so.1 (0x00007ffd)
	libbz2.so.1.0 => /lib/x86_64-linux-gnu/libbz2.so.1.0 (0x00007f1)
	/lib64/ld-linux-x86-64.so.2 (0x00007f2)
`;
  expect(parseLibraries(ldd)).toEqual(["/lib/x86_64-linux-gnu/libbz2.so.1.0", "/lib64/ld-linux-x86-64.so.2"]);
});
