/** A run as its events tell of it, in whatever order they come. */
import { expect, test } from "bun:test";
import type { WireEvent } from "../../../src/control/protocol/run.ts";
import { foldEvents, notBegun } from "../../../src/control/server/decisions/fold-events.ts";
import { createRandom } from "../../support/random.ts";

const at = (seq: number, body: Record<string, unknown> & { type: string }): WireEvent => ({ seq, time: "", ...body });

const run: readonly WireEvent[] = [
  at(1, { type: "run-started", version: "0", restarted: false }),
  at(2, { type: "stage-started", stage: "save" }),
  at(3, { type: "step", stage: "save", message: "looking" }),
  at(4, { type: "stage-started", stage: "write" }),
  at(5, { type: "target-state", state: "partial" }),
  at(6, { type: "progress", stage: "write", what: "writing", doneBytes: 1, totalBytes: 9 }),
  at(7, { type: "progress", stage: "write", what: "writing", doneBytes: 8, totalBytes: 9 }),
];

test("the last word counts", () => {
  expect(foldEvents(notBegun, run)).toEqual({
    stage: "write",
    what: "writing",
    doneBytes: 8,
    totalBytes: 9,
    target: "partial",
    outcome: null,
    reason: null,
    lastSeq: 7,
  });
});

test("a run that has failed, and is started again, is under way again", () => {
  const failed = at(8, { type: "run-failed", stage: "write", target: "partial", code: "x", reason: "no", hint: null });
  const ended = foldEvents(notBegun, [...run, failed]);
  expect(ended).toMatchObject({ outcome: "failed", reason: "no", target: "partial" });
  expect(foldEvents(ended, [at(9, { type: "run-started" })])).toMatchObject({ outcome: null, target: "partial" });
});

test("a late word that the disk was touched is not lost", () => {
  const late = at(5, { type: "target-state", state: "partial" });
  const without = foldEvents(
    notBegun,
    run.filter(({ seq }) => seq !== 5),
  );
  expect(without.target).toBe("untouched");
  expect(foldEvents(without, [late])).toMatchObject({ target: "partial", lastSeq: 7, doneBytes: 8 });
});

test("doubled and out of order, in batches of any size: the same as in order", () => {
  const random = createRandom(1);
  for (let round = 0; round < 500; round += 1) {
    const sent = [...run, ...run].map((event) => ({ event, key: random.below(1000) })).sort((a, b) => a.key - b.key);
    let folded = notBegun;
    while (sent.length > 0) {
      const batch = sent.splice(0, 1 + random.below(4)).map(({ event }) => event);
      folded = foldEvents(folded, batch);
    }
    expect(folded).toMatchObject({ stage: "write", doneBytes: 8, target: "partial", lastSeq: 7 });
  }
});

test("what makes no sense is not taken over", () => {
  const odd = [
    at(1, { type: "progress", stage: 7, what: {}, doneBytes: -1, totalBytes: Number.MAX_VALUE }),
    at(2, { type: "target-state", state: "molten" }),
    at(3, { type: "something-new", message: "x" }),
  ];
  expect(foldEvents(notBegun, odd)).toEqual({ ...notBegun, lastSeq: 3 });
});
