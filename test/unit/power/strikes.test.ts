/** When runs are hit, and what is made of what they said. */
import { describe, expect, test } from "bun:test";
import type { KillResult } from "../../../scripts/power/kill-results.ts";
import { formatKillTable } from "../../../scripts/power/kill-table.ts";
import { hasCome, marks, planStrikes, type Timeline, timelineOf } from "../../../scripts/power/strikes.ts";
import type { Struck } from "../../../scripts/power/struck-machine.ts";
import { describeEvent } from "../../../src/report/lines.ts";

const timeline: Timeline = marks.map((_, index) => (index === 3 ? null : index * 1000));
const base = { seed: 1, kind: "oom", run: 0, count: 400 } as const;

describe("a plan", () => {
  test("is the same for the same seed, and another for another one", () => {
    expect(planStrikes(timeline, base)).toEqual(planStrikes(timeline, base));
    expect(planStrikes(timeline, { ...base, run: 1 })).not.toEqual(planStrikes(timeline, base));
    expect(planStrikes(timeline, { ...base, seed: 2 })).not.toEqual(planStrikes(timeline, base));
  });

  test("reaches all of a run, in its order, by all its means, and no mark that the run did not come to", () => {
    const strikes = planStrikes(timeline, base);
    const reached = new Set(strikes.map(({ mark }) => mark));
    expect([...reached]).toEqual(marks.flatMap((_, index) => (index === 3 ? [] : [index])));
    expect(new Set(strikes.map(({ means }) => means))).toEqual(new Set(["oom", "hog"]));
    // Between mark 2 and mark 4 lie two seconds, between all others one; beginning and end of a run have a time of their own.
    for (const { mark, delayMs } of strikes) {
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThan(mark === 2 ? 2000 : mark === marks.length - 1 ? 5000 : mark === 0 ? 3000 : 1000);
    }
  });
});

test("marks are what the program says, and a later one shows that a mark was passed", () => {
  const started = describeEvent({ type: "run-started", version: "0.3.0", restarted: true } as never) ?? "";
  const said = `\r\n${started}\r\n[write] begins\r\n`;
  expect(hasCome("", 0)).toBe(true);
  expect(hasCome("", 1)).toBe(false);
  expect([1, 4, 7, 8].map((mark) => hasCome(said, mark))).toEqual([true, true, true, false]);
  const chunks = [
    { atMs: 5, text: "Booting" },
    { atMs: 70, text: `Booting${said}` },
  ];
  expect(timelineOf(chunks).slice(0, 3)).toEqual([0, 70, null]);
});

test("the table counts what was hit, by what the record said, of the last program alone", () => {
  const strike = (change: Partial<Struck>): Struck => {
    const rest = { mark: 1, delayMs: 1, isRunning: true } as const;
    return { means: "kill", state: "armed", hit: "reimage", ...rest, ...change };
  };
  const result = (struck: readonly Struck[], change: Partial<KillResult> = {}): KillResult => ({
    ...{ armed: "b", seed: 1, kind: "kill", run: 0, timeline, seconds: 1, commit: "abc", date: "2026-01-02T00:00:00Z" },
    ...{ outcome: "new", reason: null, boots: [], struck, ...change },
  });
  const table = formatKillTable([
    result([strike({})], { armed: "a" }),
    result([strike({ state: "writing" }), strike({ state: "writing", hit: null }), strike({ isRunning: false })]),
    result([strike({ means: "panic", state: "restored" })], { outcome: "dead", reason: "silent" }),
  ]);
  expect(table).toContain("| SIGKILL of the program | 1 | 0 | 1 | 0 | 0 | 0 | 2 | 1 |");
  expect(table).toContain("| panic (sysrq-c) | 0 | 0 | 0 | 0 | 1 | 0 | 1 | 0 |");
  expect(table).toContain("| all | 1 | 0 | 1 | 0 | 1 | 0 | 3 | 1 |");
  expect(table).toContain("2 runs: 1 ended in the new system, 0 in the old one, 1 were dead.");
});
