import { describe, expect, test } from "bun:test";
import { createProgressFilter } from "../../../src/init/guardian.ts";
import { chooseWatchdog } from "../../../src/init/watchdog.ts";
import { createWatchdogPolicy } from "../../../src/init/watchdog-policy.ts";
import type { Event, EventBody } from "../../../src/report/events.ts";

describe("the watchdog's policy", () => {
  test("feeds while there is progress and starves when there is none", () => {
    const policy = createWatchdogPolicy(60, 0, "untouched", false);
    expect(policy.decide(59)).toBe("feed");
    expect(policy.decide(60)).toBe("starve");
    policy.noteProgress(61);
    expect(policy.decide(120)).toBe("feed");
    expect(policy.decide(121)).toBe("starve");
  });

  test("never starves while the disk is half written, and warns once for each stall", () => {
    const policy = createWatchdogPolicy(60, 0, "untouched", false);
    policy.noteTargetState("partial");
    expect([60, 70, 1000].map(policy.decide)).toEqual(["warn", "feed", "feed"]);
    policy.noteProgress(1001);
    expect([1002, 1061, 1062].map(policy.decide)).toEqual(["feed", "warn", "feed"]);
  });

  test("knows of a half-written disk from before a restart", () => {
    expect(createWatchdogPolicy(60, 0, "partial", false).decide(61)).toBe("warn");
  });

  test("starves at a half-written disk too where a reset leads back to the run", () => {
    expect(createWatchdogPolicy(60, 0, "partial", true).decide(61)).toBe("starve");
  });

  test("starves again once the disk is complete", () => {
    const policy = createWatchdogPolicy(60, 0, "partial", false);
    policy.noteTargetState("complete");
    expect(policy.decide(60)).toBe("starve");
  });
});

describe("what counts as progress", () => {
  const numbered = (seq: number, body: EventBody): Event => ({ ...body, seq, time: "2026-01-01T00:00:00.000Z" });
  const bytes = (doneBytes: number): EventBody => ({
    type: "progress",
    stage: "write",
    what: "writing",
    doneBytes,
    totalBytes: 9,
  });

  test("bytes that move do, the same number again does not", () => {
    const isProgress = createProgressFilter();
    const events = [bytes(0), bytes(1), bytes(1), bytes(2)];
    expect(events.map((body, i) => isProgress(numbered(i, body)))).toEqual([true, true, false, true]);
  });

  test("steps and stages do, the warning of a stall does not", () => {
    const isProgress = createProgressFilter();
    const events: EventBody[] = [
      { type: "stage-started", stage: "write" },
      { type: "step", stage: "write", message: "syncing" },
      { type: "step", stage: "write", message: "syncing" },
      { type: "warning", stage: null, message: "nothing has moved" },
      { type: "detail", stage: null, message: "a driver complained" },
    ];
    expect(events.map((body, i) => isProgress(numbered(i, body)))).toEqual([true, true, true, false, false]);
  });
});

describe("chooseWatchdog", () => {
  const soft = { name: "watchdog0", identity: "Software Watchdog" };
  const hardware = { name: "watchdog1", identity: "i6300ESB timer" };

  test("prefers hardware to software, whatever their numbers", () => {
    expect(chooseWatchdog([soft, hardware])).toBe(hardware);
  });

  test("takes software where there is nothing else, and nothing where there is nothing", () => {
    expect(chooseWatchdog([soft])).toBe(soft);
    expect(chooseWatchdog([])).toBeNull();
  });

  test("takes the first of several", () => {
    const third = { name: "watchdog10", identity: "iTCO_wdt" };
    expect(chooseWatchdog([third, hardware])).toBe(hardware);
  });
});
