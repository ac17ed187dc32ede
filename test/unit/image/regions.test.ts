import { describe, expect, test } from "bun:test";
import { overlapsAny, type Region, subtractRegions } from "../../../src/image/regions.ts";
import { createRandom } from "../../support/random.ts";

type Pair = readonly [offsetBytes: number, sizeBytes: number];
const regions = (pairs: readonly Pair[]): Region[] =>
  pairs.map(([offsetBytes, sizeBytes]) => ({ offsetBytes, sizeBytes }));
const pairs = (list: readonly Region[]): Pair[] => list.map(({ offsetBytes, sizeBytes }) => [offsetBytes, sizeBytes]);

describe("subtractRegions", () => {
  test.each<[string, Pair[], Pair[], Pair[]]>([
    ["nothing from nothing", [], [], []],
    ["something from nothing", [], [[0, 9]], []],
    [
      "nothing from something",
      [
        [0, 9],
        [20, 1],
      ],
      [],
      [
        [0, 9],
        [20, 1],
      ],
    ],
    ["all of it", [[10, 10]], [[10, 10]], []],
    ["more than all of it", [[10, 10]], [[0, 100]], []],
    [
      "in two halves that touch",
      [[10, 10]],
      [
        [10, 5],
        [15, 5],
      ],
      [],
    ],
    ["the start", [[10, 10]], [[10, 1]], [[11, 9]]],
    ["the end", [[10, 10]], [[19, 1]], [[10, 9]]],
    ["over the start", [[10, 10]], [[0, 11]], [[11, 9]]],
    ["over the end", [[10, 10]], [[19, 100]], [[10, 9]]],
    [
      "the middle",
      [[10, 10]],
      [[14, 2]],
      [
        [10, 4],
        [16, 4],
      ],
    ],
    [
      "what touches it in front and behind",
      [[10, 10]],
      [
        [0, 10],
        [20, 10],
      ],
      [[10, 10]],
    ],
    [
      "one hole over several regions",
      [
        [0, 10],
        [10, 10],
        [20, 10],
      ],
      [[5, 20]],
      [
        [0, 5],
        [25, 5],
      ],
    ],
    [
      "several holes out of order",
      [[0, 10]],
      [
        [8, 1],
        [2, 1],
        [5, 1],
      ],
      [
        [0, 2],
        [3, 2],
        [6, 2],
        [9, 1],
      ],
    ],
    ["empty holes", [[0, 10]], [[5, 0]], [[0, 10]]],
    ["from an empty region", [[5, 0]], [], []],
    [
      "beyond 2^32",
      [[2 ** 40, 2 ** 40]],
      [[2 ** 40 + 1, 2 ** 40 - 2]],
      [
        [2 ** 40, 1],
        [2 ** 41 - 1, 1],
      ],
    ],
  ])("%s", (_, from, without, left) => {
    expect(pairs(subtractRegions(regions(from), regions(without)))).toEqual(left);
  });

  test("is what taking one byte after the other gives, in as few pieces as there can be", () => {
    for (let seed = 0; seed < 2000; seed += 1) {
      const random = createRandom(seed);
      const list = (sizeBytes: number) => {
        const result: Region[] = [];
        for (let at = random.below(4); at < 40; ) {
          const size = Math.min(1 + random.below(sizeBytes), 40 - at);
          result.push({ offsetBytes: at, sizeBytes: size });
          at += size + random.below(4);
        }
        return result.toSorted(() => random.below(3) - 1);
      };
      const [from, without] = [list(12), list(5)];
      const bytesOf = (each: Region) => Array.from({ length: each.sizeBytes }, (_, i) => each.offsetBytes + i);
      const skipped = new Set(without.flatMap(bytesOf));
      const left = from
        .flatMap(bytesOf)
        .filter((byte) => !skipped.has(byte))
        .sort((a, b) => a - b);
      const result = subtractRegions(from, without);
      expect({ seed, bytes: result.flatMap(bytesOf) }).toEqual({ seed, bytes: left });
      // A piece begins where a region does or a hole ends: nothing is cut without a reason.
      for (const { offsetBytes, sizeBytes } of result) {
        expect(sizeBytes).toBeGreaterThan(0);
        expect(from.some((each) => each.offsetBytes === offsetBytes) || skipped.has(offsetBytes - 1)).toBe(true);
      }
    }
  });
});

test.each<[Pair, Pair[], boolean]>([
  [[10, 10], [], false],
  [
    [10, 10],
    [
      [0, 10],
      [20, 5],
    ],
    false,
  ],
  [[10, 10], [[0, 11]], true],
  [
    [10, 10],
    [
      [30, 1],
      [19, 1],
    ],
    true,
  ],
  [[10, 10], [[12, 1]], true],
  [[10, 10], [[0, 100]], true],
])("overlapsAny %j %j", (region, others, expected) => {
  expect(regions([region]).some((each) => overlapsAny(each, regions(others)))).toBe(expected);
});
