import { describe, expect, test } from "bun:test";
import { parsePeakBytes, parseStat, watchTree } from "../../../scripts/bench/process-tree.ts";

describe("/proc/PID/stat", () => {
  test("gives the name and the CPU seconds", () => {
    const stat = "41 (zstd) R 40 41 41 0 -1 4194304 88 0 0 0 250 75 7 8 20 0 1 0 5 6 7";
    expect(parseStat(stat)).toEqual({ name: "zstd", userSeconds: 2.5, systemSeconds: 0.75 });
  });
  test("may have a name with spaces and parentheses", () => {
    const stat = "41 (Bun Pool (0) R) S 40 41 41 0 -1 4194304 88 0 0 0 1 2 7 8 20 0 1 0 5 6 7";
    expect(parseStat(stat)).toEqual({ name: "Bun Pool (0) R", userSeconds: 0.01, systemSeconds: 0.02 });
  });
});

describe("/proc/PID/status", () => {
  test("gives the most memory that was resident", () => {
    expect(parsePeakBytes("Name:\tdd\nVmPeak:\t  9000 kB\nVmHWM:\t    3072 kB\nVmRSS:\t 2048 kB\n")).toBe(3 << 20);
  });
  test("of a process that has ended has no memory", () => {
    expect(parsePeakBytes("Name:\tdd\nState:\tZ (zombie)\n")).toBeNull();
  });
});

test("a watch sees this process, and still knows it after it looked away", () => {
  const watch = watchTree(process.pid);
  expect(watch.peakBytes()).toBe(0);
  watch.look();
  expect(watch.peakBytes()).toBeGreaterThan(1 << 20);
  expect(watch.cpuByThread().size).toBeGreaterThan(0);
});

test("a watch of a process that is gone sees nothing", () => {
  const watch = watchTree(2 ** 22 + 1); // beyond the largest number that a process can have
  watch.look();
  expect(watch.peakBytes()).toBe(0);
});
