import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type ConsoleTarget, createConsoleSink } from "../../../src/report/console.ts";
import type { Event, EventBody, TargetState } from "../../../src/report/events.ts";
import { formatBytes, formatDuration, onOneLine, percentOf, wrapText } from "../../../src/report/format.ts";
import { describeEnding } from "../../../src/report/lines.ts";
import { deservesLine, formatProgress, type Measurements, measure, viewProgress } from "../../../src/report/rate.ts";

const MiB = 2 ** 20;

function at(seconds: number, body: EventBody): Event {
  return { ...body, seq: 1, time: new Date(seconds * 1000).toISOString() };
}

type ProgressEvent = Extract<Event, { type: "progress" }>;
function progressAt(seconds: number, doneBytes: number, totalBytes: number | null, what = "writing"): ProgressEvent {
  return at(seconds, { type: "progress", stage: "write", what, doneBytes, totalBytes }) as ProgressEvent;
}

/** What is shown after the last of several events. */
function viewAfter(...events: ProgressEvent[]) {
  let measurements: Measurements | null = null;
  for (const event of events) measurements = measure(measurements, event);
  const last = events.at(-1);
  if (measurements === null || last === undefined) throw new Error("no events");
  return viewProgress(measurements, last);
}

describe("sizes and times", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1.5 * MiB, "1.5 MiB"],
    [MiB - 1, "1.0 MiB"],
    [4096 * MiB, "4.0 GiB"],
    [5e15, "4547.5 TiB"],
  ])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [0, "0:00"],
    [59.6, "1:00"],
    [750, "12:30"],
    [3723, "1:02:03"],
  ])("%d s are %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  test("percent is 100 only at the end", () => {
    expect([
      percentOf(0, 10),
      percentOf(999, 1000),
      percentOf(10, 10),
      percentOf(11, 10),
      percentOf(0, 0),
      percentOf(1, null),
    ]).toEqual([0, 99, 100, 100, 100, null]);
  });

  test("wrapping keeps every word", () => {
    expect(wrapText("a bb ccc dddddddd e", 6)).toEqual(["a bb", "ccc", "dddddddd", "e"]);
    expect(onOneLine("a\r\n  b\n\nc\n")).toBe("a; b; c");
  });
});

describe("rate and time left", () => {
  test("nothing is claimed within the first second", () => {
    expect(viewAfter(progressAt(0, 0, 100 * MiB), progressAt(0.9, 50 * MiB, 100 * MiB))).toMatchObject({
      percent: 50,
      bytesPerSecond: null,
      secondsLeft: null,
    });
  });

  test("the rate is that of the last 15 seconds", () => {
    const fast = Array.from({ length: 60 }, (_, i) => progressAt(i, i * 10 * MiB, 2000 * MiB));
    const slow = Array.from({ length: 20 }, (_, i) => progressAt(60 + i, (600 + i) * MiB, 2000 * MiB));
    const view = viewAfter(...fast, ...slow);
    expect(view.bytesPerSecond).toBe(MiB);
    expect(view.secondsLeft).toBe(2000 - 619);
  });

  test("few events on a very slow disk are measured all the same", () => {
    expect(viewAfter(progressAt(0, 0, 100), progressAt(60, 60, 100)).bytesPerSecond).toBe(1);
  });

  test("what stands still has no end", () => {
    const view = viewAfter(progressAt(0, 5, 10), progressAt(10, 5, 10));
    expect(view).toMatchObject({ bytesPerSecond: 0, secondsLeft: null });
    expect(formatProgress(view)).toBe("50%, 5 B of 10 B, 0 B/s");
  });

  test.each([
    ["other work", progressAt(2, 20, 100, "reading back")],
    ["a step back", progressAt(2, 5, 100)],
    ["a clock set back", progressAt(-10, 20, 100)],
  ])("%s begins a new measurement", (_, event) => {
    expect(viewAfter(progressAt(0, 0, 100), progressAt(1, 10, 100), event).bytesPerSecond).toBeNull();
  });

  test("a line says percent, amount, rate and time left", () => {
    const view = viewAfter(progressAt(0, 0, 400 * MiB), progressAt(10, 100 * MiB, 400 * MiB));
    expect(formatProgress(view)).toBe("25%, 100.0 MiB of 400.0 MiB, 10.0 MiB/s, 0:30 left");
    expect(formatProgress(viewAfter(progressAt(0, 0, null), progressAt(10, 100 * MiB, null)))).toBe(
      "100.0 MiB, 10.0 MiB/s",
    );
  });

  test("a line is due after 5 s, 10 percent, at the end, and for other work", () => {
    const printed = viewAfter(progressAt(0, 10, 1000));
    const due = (event: ProgressEvent) => deservesLine(printed, viewAfter(event));
    expect(due(progressAt(4.9, 100, 1000))).toBe(false);
    expect(due(progressAt(5, 11, 1000))).toBe(true);
    expect(due(progressAt(0.1, 110, 1000))).toBe(true);
    expect(due(progressAt(0.1, 1000, 1000))).toBe(true);
    expect(due(progressAt(0.1, 10, 1000, "reading back"))).toBe(true);
    expect(deservesLine(null, printed)).toBe(true);
    const end = viewAfter(progressAt(0, 1000, 1000));
    expect(deservesLine(end, end)).toBe(false);
  });
});

describe("the line that ends a run", () => {
  const disk = {
    path: "/dev/sda",
    sizeBytes: 500107862016,
    sectorSizeBytes: 512,
    serial: "S1",
    wwn: null,
    model: "SSD 860",
  };
  const failure = (target: TargetState, hint: string | null = null) =>
    at(0, {
      ...{ type: "run-failed", stage: "write", code: "x", reason: "dd ended\nwith status 1" },
      ...{ target, hint },
    }) as Extract<Event, { type: "run-failed" }>;
  const failed = (target: TargetState, hint: string | null = null) => describeEnding(failure(target, hint));

  test("success names the disk", () => {
    const event = at(0, { type: "run-finished", target: "complete", disk }) as Extract<Event, { type: "run-finished" }>;
    expect(describeEnding(event)).toBe(
      "reimage: success: the new system is complete on /dev/sda (SSD 860, serial S1, 500.1 GB); it was read back and is what it should be.",
    );
  });

  test("failure says what happened, the state of the disk and what to do, on one line", () => {
    expect(failed("untouched", "try again")).toBe(
      "reimage: failed in stage write: dd ended; with status 1. The disk is untouched: the old system will boot again. What to do: try again.",
    );
    expect(failed("partial")).toBe(
      "reimage: failed in stage write: dd ended; with status 1. The disk is partly written and does not boot. The image and the retained files are still in memory: do not switch the machine off.",
    );
    expect(failed("complete")).toEndWith("The disk is complete: the new system will boot.");
    expect(describeEnding({ ...failure("partial"), hasLifeboat: true })).toEndWith(
      " The disk is partly written, and boots its lifeboat: started again, the machine tries again from there.",
    );
  });
});

describe("createConsoleSink", () => {
  function capture(kind: ConsoleTarget["kind"], columns?: number) {
    let output = "";
    const target: ConsoleTarget = {
      kind,
      ...(columns === undefined ? {} : { columns }),
      write(text) {
        output += text;
      },
    };
    return { target, output: () => output };
  }
  const run: Event[] = [
    at(0, { type: "run-started", version: "0.1.0", restarted: false }),
    at(0, { type: "stage-started", stage: "write" }),
    ...Array.from({ length: 81 }, (_, i) => progressAt(i / 4, i * MiB, 80 * MiB, "writing the image")),
    at(20, { type: "detail", stage: "write", message: "for the log" }),
    at(20, { type: "target-state", state: "partial" }),
    at(20, { type: "warning", stage: null, message: "careful" }),
    at(21, { type: "stage-finished", stage: "write", seconds: 21 }),
    at(22, { type: "run-failed", stage: "write", target: "partial", code: "x", reason: "it broke", hint: "mend it" }),
  ];

  test("a serial console gets plain lines, a few of them for the progress", () => {
    const serial = capture("line");
    const sink = createConsoleSink([serial.target]);
    for (const event of run) sink.receive(event);
    const lines = serial.output().split("\n");
    expect(serial.output()).not.toMatch(/[\r\x1b]/);
    expect(lines.filter((line) => line.startsWith("[write] writing the image: ")).length).toBe(11);
    expect(lines).toContain("[write] writing the image: 50%, 40.0 MiB of 80.0 MiB, 4.0 MiB/s, 0:10 left");
    expect(lines).toContain("WARNING: careful");
    expect(serial.output()).not.toContain("for the log");
    expect(lines.filter((line) => line.startsWith("reimage: failed"))).toEqual([
      "reimage: failed in stage write: it broke. The disk is partly written and does not boot. The image and the retained files are still in memory: do not switch the machine off. What to do: mend it.",
    ]);
  });

  test("a terminal gets a bar that is gone before each line, no line wider than the screen, and the same ending", () => {
    const terminal = capture("terminal", 60);
    const sink = createConsoleSink([terminal.target]);
    for (const event of run) sink.receive(event);
    const screen = terminal.output().split("\n");
    const visible = screen.map((line) => line.slice(line.lastIndexOf("\x1b[2K") + 1).replace("[2K", ""));
    expect(terminal.output()).toContain("write [");
    expect(terminal.output()).toContain("100%, 80.0 MiB of 80.0 MiB");
    expect(visible).toContain("WARNING: careful");
    expect(visible.some((line) => line.startsWith("reimage: failed in stage write: it broke. "))).toBe(true);
    const drawn = terminal.output().split(/[\r\n]|\x1b\[2?K/);
    const tooWide = drawn.filter((line) => line.length >= 60 && !line.startsWith("the disk is being"));
    expect(tooWide).toEqual([]);
  });

  test("a broken console does not keep the others from it, and its error is passed on", () => {
    const serial = capture("line");
    const broken: ConsoleTarget = {
      kind: "terminal",
      write() {
        throw new Error("EIO");
      },
    };
    const sink = createConsoleSink([broken, serial.target]);
    for (const event of run.filter((event) => event.type !== "detail"))
      expect(() => sink.receive(event)).toThrow("EIO");
    expect(serial.output()).toContain("reimage: failed");
  });

  test("a console that breaks while the bar redraws itself is reported by the next event", async () => {
    const redrawn = Promise.withResolvers<void>();
    let isBroken = false;
    const target: ConsoleTarget = {
      kind: "terminal",
      write() {
        if (!isBroken) return;
        redrawn.resolve();
        throw new Error("EIO");
      },
    };
    const sink = createConsoleSink([target]);
    sink.receive(progressAt(0, 1, 2));
    isBroken = true;
    await redrawn.promise; // by the bar's own timer
    isBroken = false;
    expect(() => sink.receive(progressAt(1, 1, 2))).toThrow("EIO");
    sink.receive(at(2, { type: "stage-finished", stage: "write", seconds: 2 }));
  });

  test("a bar that nobody took away does not keep the process from ending", async () => {
    const source = join(import.meta.dir, "../../../src/report/console.ts");
    const program = `
      import { createConsoleSink } from ${JSON.stringify(source)};
      const sink = createConsoleSink([{ kind: "terminal", write: (text) => process.stdout.write(text) }]);
      sink.receive(${JSON.stringify(progressAt(0, 1, 2))});`;
    const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "pipe" });
    expect(await new Response(child.stdout).text()).toContain("50%");
    expect(await child.exited).toBe(0);
  });
});
