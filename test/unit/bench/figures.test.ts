import { describe, expect, test } from "bun:test";
import { median, type RunFigures, ratiosOf, summarise } from "../../../scripts/bench/figures.ts";

const taking = (median_s: number): RunFigures => ({ median_s, min_s: 0, max_s: 0, peak_mb: 0, cpu_s: 0 });

const runs = {
  seed: taking(30),
  "bmaptool-bz2": taking(15),
  "bmaptool-zst": taking(2.5),
  "device-buffered": taking(1.6),
  "device-direct": taking(0.8),
  "reimage-bz2": taking(9),
  "reimage-bz2-readback": taking(12),
  "reimage-zst": taking(2),
  "reimage-zst-readback": taking(2.5),
};

describe("median", () => {
  test("of an odd number of values is the one in the middle, in whatever order they come", () => {
    expect(median([10, 9, 2])).toBe(9);
  });
  test("of an even number is between the two in the middle", () => {
    expect(median([100, 1, 3, 2])).toBe(2.5);
  });
  test("of nothing is an error, not a number", () => {
    expect(() => median([])).toThrow("no median of nothing");
  });
});

test("rounds come to their median time, the extremes, the most memory in millions of bytes, and the median CPU time", () => {
  const measurements = [
    { seconds: 3.00049, peakBytes: 90_000_000, cpuSeconds: 5 },
    { seconds: 1, peakBytes: 123_456_789, cpuSeconds: 4 },
    { seconds: 8, peakBytes: 80_000_000, cpuSeconds: 9 },
  ];
  expect(summarise(measurements)).toEqual({ median_s: 3, min_s: 1, max_s: 8, peak_mb: 123.5, cpu_s: 5 });
});

test("ratios are medians over medians, against the faster of the device's two ways", () => {
  expect(ratiosOf(runs)).toEqual({
    bz2_vs_seed: 0.3,
    bz2_vs_bmaptool: 0.6,
    zst_vs_bmaptool: 0.8,
    zst_vs_device: 2.5,
    readback_cost: 0.25,
  });
});

test("ratios with readback put it on reimage's side", () => {
  expect(ratiosOf(runs, "-readback")).toEqual({
    bz2_vs_seed: 0.4,
    bz2_vs_bmaptool: 0.8,
    zst_vs_bmaptool: 1,
    zst_vs_device: 3.125,
    readback_cost: 0.25,
  });
});

test("a contender that did not run is named", () => {
  const { seed: _, ...others } = runs;
  expect(() => ratiosOf(others)).toThrow("the contender seed did not run");
});
