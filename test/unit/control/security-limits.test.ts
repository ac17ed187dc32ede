/** How often somebody may ask, and what that costs in memory. */
import { expect, test } from "bun:test";
import { createLimiter, usualLimits } from "../../../src/control/server/security/limits.ts";
import { countedAs, createBuckets, TooOften } from "../../../src/control/server/security/token-bucket.ts";

test("a bucket gives its burst at once, then so much a second", () => {
  const buckets = createBuckets({ perSecond: 2, burst: 3 }, 10);
  const taken = (nowMs: number) => buckets.take("a", nowMs);
  expect([taken(0), taken(0), taken(0), taken(0)]).toEqual([0, 0, 0, 1]);
  expect([taken(499), taken(500), taken(500)]).toEqual([1, 0, 1]);
  expect([taken(1_000_000), taken(1_000_000), taken(1_000_000), taken(1_000_000)]).toEqual([0, 0, 0, 1]);
});

test("what is refused costs nothing: who asks without end gets as much as who asks in time", () => {
  const buckets = createBuckets({ perSecond: 1, burst: 1 }, 10);
  let given = 0;
  for (let ms = 0; ms <= 10_000; ms += 10) if (buckets.take("a", ms) === 0) given += 1;
  expect(given).toBe(11);
});

test("one does not use up another's", () => {
  const buckets = createBuckets({ perSecond: 1, burst: 1 }, 10);
  expect([buckets.take("a", 0), buckets.take("a", 0), buckets.take("b", 0)]).toEqual([0, 1, 0]);
});

test("the seconds to wait are enough", () => {
  const buckets = createBuckets({ perSecond: 0.1, burst: 1 }, 10);
  buckets.take("a", 0);
  const seconds = buckets.take("a", 2000);
  expect(seconds).toBe(8);
  expect(buckets.secondsUntilNext("a", 2000 + seconds * 1000)).toBe(0);
  expect(buckets.take("a", 2000 + seconds * 1000)).toBe(0);
});

test("a clock that is set back locks nobody out, and gives nothing", () => {
  const buckets = createBuckets({ perSecond: 1, burst: 2 }, 10);
  expect([buckets.take("a", 1e12), buckets.take("a", 0), buckets.take("a", 0), buckets.take("a", 1000)]).toEqual([
    0, 0, 1, 0,
  ]);
});

test("a hundred thousand names fill no memory, and the one that is used most recently is kept", () => {
  const buckets = createBuckets({ perSecond: 0.001, burst: 1 }, 1000);
  let given = 0;
  for (let n = 0; n < 100_000; n += 1) {
    buckets.take(`name ${n}`, 0);
    if (n % 100 === 0 && buckets.take("busy", 0) === 0) given += 1;
  }
  expect(buckets.size).toBe(1000);
  expect(given).toBe(1);
});

test("an IPv6 host is counted by its /64, an IPv4 one as itself in any spelling", () => {
  expect(countedAs("2001:db8:1:2::1")).toBe(countedAs("2001:db8:1:2:ffff::9"));
  expect(countedAs("2001:db8:1:2::1")).not.toBe(countedAs("2001:db8:1:3::1"));
  expect(countedAs("::ffff:10.0.0.1")).toBe(countedAs("10.0.0.1"));
  expect(countedAs("10.0.0.1")).not.toBe(countedAs("10.0.0.2"));
  expect(countedAs(null)).toBe("unknown");
});

const machine = (machineId: string) => ({ kind: "machine", machineId }) as const;
const times = (count: number, run: () => void) => {
  let refused = 0;
  for (let n = 0; n < count; n += 1) {
    try {
      run();
    } catch (error) {
      if (!(error instanceof TooOften)) throw error;
      expect(error.code).toBe("too-many");
      expect(error.retryAfterSeconds).toBeGreaterThan(0);
      refused += 1;
    }
  }
  return refused;
};

test("a machine is counted by its token, a person is not", () => {
  const limiter = createLimiter(usualLimits, () => 0);
  expect(times(usualLimits.machine.burst, () => limiter.heard(machine("a")))).toBe(0);
  expect(times(1, () => limiter.heard(machine("a")))).toBe(1);
  expect(times(1, () => limiter.heard(machine("b")))).toBe(0);
  expect(times(5000, () => limiter.heard({ kind: "admin", name: "anna", role: "viewer" }))).toBe(0);
});

test("ten thousand machines that speak once are not too many", () => {
  const limiter = createLimiter(usualLimits, () => 0);
  let refused = 0;
  for (let n = 0; n < 10_000; n += 1) refused += times(1, () => limiter.heard(machine(String(n))));
  expect(refused).toBe(0);
});

test("wrong secrets close the door to more of them, and to nothing else", () => {
  const limiter = createLimiter(usualLimits, () => 0);
  expect(times(usualLimits.refused.burst, () => limiter.refused("10.0.0.1"))).toBe(0);
  expect(times(1, () => limiter.refused("10.0.0.1"))).toBe(1);
  expect(times(1, () => limiter.secretBearer("10.0.0.1"))).toBe(1);
  expect(times(1, () => limiter.secretBearer("10.0.0.2"))).toBe(0);
  expect(times(1, () => limiter.stranger("10.0.0.1"))).toBe(0);
  expect(times(1, () => limiter.heard(machine("a")))).toBe(0);
});

test("a right secret is not counted", () => {
  const limiter = createLimiter(usualLimits, () => 0);
  expect(times(5000, () => limiter.secretBearer("10.0.0.1"))).toBe(0);
});

test("strangers are counted by their address", () => {
  const limiter = createLimiter(usualLimits, () => 0);
  expect(times(usualLimits.stranger.burst + 1, () => limiter.stranger("10.0.0.1"))).toBe(1);
  expect(times(1, () => limiter.stranger("10.0.0.2"))).toBe(0);
});
