/** Where the lifeboat lies among regions that are free. */
import { describe, expect, test } from "bun:test";
import { overlapsAny, type Region } from "../../../src/image/regions.ts";
import {
  alignmentBytes,
  bootAlignmentBytes,
  chooseRegions,
  describeShortage,
  maximumBulkExtents,
  type Room,
  usableRegions,
} from "../../../src/lifeboat/places/choose-regions.ts";
import { coversRegions, intersectRegions, mergeRegions, totalBytes } from "../../../src/lifeboat/places/region-sets.ts";
import { createRandom, type Random } from "../../support/random.ts";

const MIB = 1 << 20;
const KIB = 1024;
const region = (startMiB: number, endMiB: number): Region => ({
  offsetBytes: startMiB * MIB,
  sizeBytes: (endMiB - startMiB) * MIB,
});
const roomOf = (choice: ReturnType<typeof chooseRegions>): Room => {
  if ("shortage" in choice) throw new Error(describeShortage(choice.shortage));
  return choice.room;
};

describe("what can be used", () => {
  test("never the first nor the last MiB of the disk, whatever is free", () => {
    expect(usableRegions([region(0, 100)], [], 100 * MIB)).toEqual([region(1, 99)]);
    // A disk that ends inside a MiB.
    const odd = usableRegions([region(0, 101)], [], 100 * MIB + 512);
    expect(odd).toEqual([{ offsetBytes: MIB, sizeBytes: 98 * MIB }]);
  });

  test("nothing that the image writes, though its ranges overlap and are out of order", () => {
    const forbidden = [region(50, 60), region(10, 40), region(30, 55)];
    expect(usableRegions([region(5, 80)], forbidden, 100 * MIB)).toEqual([region(5, 10), region(60, 80)]);
  });

  test("whole 4 KiB, inside of what is free", () => {
    const free = [{ offsetBytes: 5 * MIB + 512, sizeBytes: 3 * 4096 }];
    expect(usableRegions(free, [], 100 * MIB)).toEqual([{ offsetBytes: 5 * MIB + 4096, sizeBytes: 2 * 4096 }]);
  });
});

describe("the choice", () => {
  const needs = { bootBytes: 10 * MIB, bulkBytes: 20 * MIB };

  test("in one piece where there is one, though a smaller region holds the boot extent", () => {
    const room = roomOf(chooseRegions([region(5, 16), region(20, 60)], needs));
    expect(room).toEqual({ boot: region(20, 30), bulk: [region(30, 50)] });
  });

  test("else the boot extent in the smallest region that holds it, and the bulk in the largest ones", () => {
    const room = roomOf(chooseRegions([region(5, 16), region(20, 32), region(40, 58), region(70, 73)], needs));
    expect(room).toEqual({ boot: region(5, 15), bulk: [region(20, 22), region(40, 58)] });
  });

  test("the boot extent begins at a whole MiB, and what is before it is not lost", () => {
    const usable = [{ offsetBytes: 5 * MIB + 4096, sizeBytes: 11 * MIB - 4096 }];
    const room = roomOf(chooseRegions(usable, { bootBytes: 10 * MIB, bulkBytes: MIB - 4096 }));
    expect(room.boot).toEqual(region(6, 16));
    expect(room.bulk).toEqual([{ offsetBytes: 5 * MIB + 4096, sizeBytes: MIB - 4096 }]);
  });

  test("odd sizes are rounded up to 4 KiB", () => {
    const room = roomOf(chooseRegions([region(5, 16)], { bootBytes: MIB + 1, bulkBytes: 1 }));
    expect([room.boot.sizeBytes, totalBytes(room.bulk)]).toEqual([MIB + 4096, 4096]);
  });

  test("nothing but the boot extent is wanted", () => {
    expect(roomOf(chooseRegions([region(5, 16)], { bootBytes: MIB, bulkBytes: 0 })).bulk).toEqual([]);
  });

  test("a piece that is large enough but does not begin at a whole MiB is none", () => {
    const choice = chooseRegions([{ offsetBytes: 5 * MIB + 4096, sizeBytes: 10 * MIB }], {
      bootBytes: 10 * MIB,
      bulkBytes: 0,
    });
    expect(choice).toEqual({
      shortage: {
        neededBytes: 10 * MIB,
        neededContiguousBytes: 10 * MIB,
        usableBytes: 10 * MIB,
        contiguousBytes: 9 * MIB + 4096,
      },
    });
  });

  test("32 pieces do, 33 do not, and the words say so", () => {
    const scattered = (count: number) => [
      region(2, 3),
      ...Array.from({ length: count }, (_, i) => region(10 + 2 * i, 11 + 2 * i)),
    ];
    const wants = (pieces: number) => ({ bootBytes: MIB, bulkBytes: pieces * MIB });
    expect(roomOf(chooseRegions(scattered(32), wants(32))).bulk).toHaveLength(maximumBulkExtents);
    const choice = chooseRegions(scattered(33), wants(33));
    expect("shortage" in choice && describeShortage(choice.shortage)).toBe(
      "34.0 MiB needed (1.0 MiB of it in one piece), 34.0 MiB usable (1.0 MiB in one piece), but not in 33 pieces",
    );
  });

  test("the shortage in numbers", () => {
    const choice = chooseRegions([region(5, 8), region(10, 11)], needs);
    expect("shortage" in choice && describeShortage(choice.shortage)).toBe(
      "30.0 MiB needed (10.0 MiB of it in one piece), 4.0 MiB usable (3.0 MiB in one piece)",
    );
    expect(chooseRegions([], needs)).toMatchObject({ shortage: { usableBytes: 0, contiguousBytes: 0 } });
  });
});

describe("any layout", () => {
  const randomRegions = (random: Random, count: number, limit: number): Region[] =>
    Array.from({ length: count }, () => ({
      offsetBytes: random.below(limit / 512) * 512,
      sizeBytes: random.pick([512, 4096, 100 * KIB, 3 * MIB, 40 * MIB]) * (1 + random.below(3)),
    }));

  test("what is chosen is free, not written, aligned, apart, and as large as it has to be", () => {
    let rooms = 0;
    for (let seed = 0; seed < 3000; seed += 1) {
      const random = createRandom(seed);
      const diskSizeBytes = 64 * MIB + random.below(1 << 19) * 512;
      const free = randomRegions(random, 1 + random.below(12), diskSizeBytes);
      const forbidden = randomRegions(random, random.below(12), diskSizeBytes);
      const needs = { bootBytes: 1 + random.below(8 * MIB), bulkBytes: random.below(30 * MIB) };
      const usable = usableRegions(free, forbidden, diskSizeBytes);
      const choice = chooseRegions(usable, needs);
      if ("shortage" in choice) {
        const { neededBytes, usableBytes, neededContiguousBytes, contiguousBytes } = choice.shortage;
        const isShort = neededBytes > usableBytes || neededContiguousBytes > contiguousBytes;
        // The rest is lost where one piece more than 32 is needed.
        expect({ seed, isShort: isShort || usable.length > maximumBulkExtents }).toEqual({ seed, isShort: true });
        continue;
      }
      rooms += 1;
      const { boot, bulk } = choice.room;
      const all = [boot, ...bulk];
      const holds = {
        free: coversRegions(free, all),
        unwritten: all.every((each) => !overlapsAny(each, forbidden)),
        edges: all.every((each) => each.offsetBytes >= MIB && each.offsetBytes + each.sizeBytes <= diskSizeBytes - MIB),
        aligned: all.every((each) => each.offsetBytes % alignmentBytes === 0 && each.sizeBytes % alignmentBytes === 0),
        bootStart: boot.offsetBytes % bootAlignmentBytes === 0,
        apart: totalBytes(mergeRegions(all)) === totalBytes(all),
        sizes: boot.sizeBytes - needs.bootBytes < 4096 && boot.sizeBytes >= needs.bootBytes,
        bulk: totalBytes(bulk) >= needs.bulkBytes && totalBytes(bulk) - needs.bulkBytes < 4096,
        few: bulk.length <= maximumBulkExtents,
      };
      expect({ seed, ...holds }).toEqual({
        seed,
        ...{
          free: true,
          unwritten: true,
          edges: true,
          aligned: true,
          bootStart: true,
          apart: true,
          sizes: true,
          bulk: true,
        },
        few: true,
      });
    }
    expect(rooms).toBeGreaterThan(1000); // the layouts are worth looking at
  });

  test("sets of regions agree with a map of every unit", () => {
    for (let seed = 0; seed < 500; seed += 1) {
      const random = createRandom(seed);
      const set = () =>
        Array.from({ length: random.below(8) }, () => ({ offsetBytes: random.below(40), sizeBytes: random.below(10) }));
      const units = (regions: readonly Region[]) =>
        new Set(
          regions.flatMap(({ offsetBytes, sizeBytes }) => Array.from({ length: sizeBytes }, (_, i) => offsetBytes + i)),
        );
      const [a, b] = [set(), set()];
      const merged = mergeRegions(a);
      expect(units(merged)).toEqual(units(a));
      expect(totalBytes(merged)).toBe(units(a).size);
      expect(units(intersectRegions(a, b))).toEqual(units(a).intersection(units(b)));
      expect(coversRegions(a, b)).toBe(units(b).isSubsetOf(units(a)));
    }
  });
});
