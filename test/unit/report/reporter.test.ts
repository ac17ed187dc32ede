import { describe, expect, test } from "bun:test";
import type { Event } from "../../../src/report/events.ts";
import { createProgress } from "../../../src/report/progress.ts";
import { createReporter } from "../../../src/report/reporter.ts";
import type { Sink } from "../../../src/report/sink.ts";

function collector(name = "collector"): Sink & { readonly events: Event[] } {
  const events: Event[] = [];
  return { name, events, receive: (event) => events.push(event) };
}

describe("createReporter", () => {
  test("numbers go on from those of the process before, and the time is the clock's", () => {
    const sink = collector();
    const reporter = createReporter([sink], 41, () => 0);
    reporter.emit({ type: "stage-started", stage: "save" });
    reporter.emit({ type: "step", stage: "save", message: "reads the list" });
    expect(sink.events).toEqual([
      { type: "stage-started", stage: "save", seq: 42, time: "1970-01-01T00:00:00.000Z" },
      { type: "step", stage: "save", message: "reads the list", seq: 43, time: "1970-01-01T00:00:00.000Z" },
    ]);
  });

  test("a sink that throws is complained about once, to the others, and the run goes on", () => {
    const good = collector();
    const bad: Sink = {
      name: "the log",
      receive() {
        throw new Error("no space left");
      },
    };
    const reporter = createReporter([bad, good], 0);
    for (let i = 0; i < 3; i++) reporter.emit({ type: "step", stage: "save", message: `${i}` });
    const told = good.events.map((event) => [
      event.seq,
      event.type === "step" || event.type === "warning" ? event.message : "",
    ]);
    expect(told).toEqual([
      [1, "0"],
      [2, "the log does not take messages any more: no space left"],
      [3, "1"],
      [4, "2"],
    ]);
  });

  test("sinks that all throw end in silence, not in an endless round of warnings", () => {
    const bad = (): Sink => ({
      name: "bad",
      receive() {
        throw new Error("broken");
      },
    });
    const reporter = createReporter([bad(), bad(), bad()], 0);
    expect(() => reporter.emit({ type: "step", stage: "save", message: "x" })).not.toThrow();
  });
});

describe("createProgress", () => {
  test("at most four events a second leave a stage, and the end always does", () => {
    const sink = collector();
    let timeMs = 0;
    const progress = createProgress(createReporter([sink], 0), "write", "writing the image", 100_000, () => timeMs);
    for (let i = 0; i < 1000; i++) {
      timeMs += 10; // ten seconds
      progress.advance(99);
    }
    timeMs += 1;
    progress.advance(1000);
    progress.done();
    const done = sink.events.map((event) => (event.type === "progress" ? event.doneBytes : -1));
    expect(done.length).toBe(1 + 40 + 1);
    expect(done[0]).toBe(0);
    expect(done.at(-1)).toBe(100_000);
    expect(sink.events.at(-1)).toMatchObject({ stage: "write", what: "writing the image", totalBytes: 100_000 });
  });

  test("the end of something whose size nobody knew tells its size", () => {
    const sink = collector();
    const progress = createProgress(createReporter([sink], 0), "save", "decoding", null, () => 0);
    progress.advance(7);
    progress.done();
    expect(sink.events.at(-1)).toMatchObject({ doneBytes: 7, totalBytes: 7 });
  });
});
