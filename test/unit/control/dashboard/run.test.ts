/** A run's events as lines, as speed, and as they stand in the stream. */
import { expect, test } from "bun:test";
import { whyNot } from "../../../../src/control/dashboard/machine/actions.ts";
import { speedOf, withSamples } from "../../../../src/control/dashboard/machine/speed.ts";
import { formatAgo } from "../../../../src/control/dashboard/times.ts";
import type { MachineSummary } from "../../../../src/control/protocol/machine.ts";
import type { WireEvent } from "../../../../src/control/protocol/run.ts";
import { linesOf, mergeEvents } from "../../../../src/control/view/log-lines.ts";
import { parseMessage, pauseMs } from "../../../../src/control/view/stream-text.ts";

const at = (seq: number, body: Record<string, unknown> & { type: string }): WireEvent => ({
  seq,
  time: `1970-01-01T00:00:${String(seq).padStart(2, "0")}.000Z`,
  ...body,
});
const progress = (seq: number, doneBytes: number, what = "writing") =>
  at(seq, { type: "progress", stage: "write", what, doneBytes, totalBytes: 4096 });

test("progress that follows on itself is one line, and a line again after something else", () => {
  const events = [
    progress(1, 0),
    progress(2, 1024),
    at(3, { type: "warning", stage: "write", message: "slow" }),
    progress(4, 2048),
  ];
  expect(linesOf(events).map(({ seq, time, text }) => [seq, time, text])).toEqual([
    [2, "00:00:02", "writing: 1.0 KiB of 4.0 KiB"],
    [3, "00:00:03", "slow"],
    [4, "00:00:04", "writing: 2.0 KiB of 4.0 KiB"],
  ]);
});

test.each(["run-started", "stage-finished", "step", "progress", "target-state", "run-failed", "never-heard-of"])(
  "a %s whose fields are all wrong is still a line",
  (type) => {
    const event = at(1, {
      type,
      stage: {},
      message: 7,
      reason: [],
      seconds: "x",
      what: null,
      doneBytes: "1",
      state: 0,
    });
    expect(linesOf([{ ...event, time: "yesterday\u202e" }])).toHaveLength(1);
  },
);

test("events that come again, or late, are there once and in their place", () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((seq) => at(seq, { type: "step" })) as [
    WireEvent,
    WireEvent,
    WireEvent,
    WireEvent,
  ];
  const seqs = (before: WireEvent[], more: WireEvent[]) => mergeEvents(before, more).map(({ seq }) => seq);
  expect(seqs([one, two], [three, four])).toEqual([1, 2, 3, 4]);
  expect(seqs([one, two, four], [one, two, three])).toEqual([1, 2, 3, 4]);
  expect(seqs([], [two, one, two])).toEqual([1, 2]);
});

test("an event of a later version is shown as it came", () => {
  expect(linesOf([at(1, { type: "telemetry", celsius: 51 })])[0]?.text).toBe('telemetry {"celsius":51}');
});

test("speed is that of the last seconds of one step", () => {
  const samples = withSamples([], [progress(1, 0), progress(2, 1000), progress(3, 2000)]);
  expect(speedOf(samples)).toBe(1000);
  expect(speedOf(withSamples(samples, [progress(4, 0, "reading back")]))).toBeNull();
  expect(speedOf(withSamples(samples, [progress(59, 2000)]))).toBeNull(); // a clock that jumped: only the last is of now
  expect(speedOf(withSamples([], [at(1, { type: "step" })]))).toBeNull();
});

test.each([
  ["event: machines\ndata: {}", { event: "machines", data: "{}" }],
  ["event: hello", { event: "hello", data: "" }],
  ["data: a\ndata:b\r\nid: 7", { event: "message", data: "a\nb" }],
  [": a comment", null],
])("%j is %j", (block, message) => expect(parseMessage(block)).toEqual(message));

test("pauses grow, and stop growing", () => {
  expect([1, 2, 3].map((attempt) => pauseMs(attempt, 1))).toEqual([1000, 2000, 4000]);
  expect(pauseMs(1000, 1)).toBe(15_000);
  expect(pauseMs(1000, 0)).toBe(11_250);
});

test.each([
  [null, "never"],
  ["2026-01-01T12:00:30Z", "now"],
  ["2026-01-01T11:59:18Z", "42 s ago"],
  ["2026-01-01T11:00:01Z", "59 min ago"],
  ["2025-12-30T13:00:00Z", "47 h ago"],
  ["2025-12-01T12:00:00Z", "31 d ago"],
  ["nonsense", "unknown"],
])("%s is %s", (time, ago) => expect(formatAgo(time, Date.parse("2026-01-01T12:00:00Z"))).toBe(ago));

const approved: MachineSummary = {
  id: "id",
  name: null,
  state: "approved",
  macs: [],
  serial: null,
  locked: false,
  imageId: null,
  configuration: "local",
  reinstall: null,
  run: null,
  lastSeenAt: null,
};
const open = (state: NonNullable<MachineSummary["reinstall"]>["state"]): MachineSummary => ({
  ...approved,
  configuration: "reimage",
  reinstall: { id: "r", imageId: "os", state, attempt: 1, reason: null },
});

test("what may be done, and why not", () => {
  expect(whyNot("reinstall", approved, "untouched")).toBeNull();
  expect(whyNot("reinstall", { ...approved, locked: true }, "untouched")).toMatch(/locked/);
  expect(whyNot("reinstall", { ...approved, state: "discovered" }, "untouched")).toMatch(/not approved/);
  expect(whyNot("reinstall", open("writing"), "partial")).toMatch(/open/);
  expect(whyNot("reinstall", open("parked"), "partial")).toBeNull(); // another image may take its place
  expect(whyNot("cancel", open("requested"), "untouched")).toBeNull();
  expect(whyNot("cancel", open("waiting"), "untouched")).toBeNull();
  expect(whyNot("cancel", open("running"), "untouched")).toMatch(/under way/);
  expect(whyNot("cancel", open("writing"), "partial")).toMatch(/partly written/);
  expect(whyNot("cancel", open("unreported"), "complete")).toMatch(/new system/);
  expect(whyNot("cancel", approved, "untouched")).toMatch(/No reinstallation/);
  expect(whyNot("retry", open("parked"), "partial")).toBeNull();
  expect(whyNot("retry", open("unreported"), "complete")).toBeNull(); // the report that never comes
  expect(whyNot("retry", open("waiting"), "partial")).toMatch(/parked/);
  expect(whyNot("approve", { ...approved, state: "discovered" }, "untouched")).toBeNull();
  expect(whyNot("approve", approved, "untouched")).not.toBeNull();
  expect(whyNot("boot-local", approved, "untouched")).toMatch(/already/);
  expect(whyNot("boot-local", open("requested"), "untouched")).toBeNull();
});
