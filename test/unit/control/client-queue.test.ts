import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Entry,
  fitting,
  mostBatchBytes,
  nextBatch,
  parseEntry,
  waitingFor,
} from "../../../src/control/client/entries.ts";
import { formatQueue, handedOverEntries, openQueue, parseQueue } from "../../../src/control/client/queue.ts";
import { eventBatchSchema, MOST_EVENTS } from "../../../src/control/protocol/run.ts";

const runId = "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const otherRun = "1b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const entry = (seq: number, type = "step", more: object = {}, of = runId): Entry => ({
  kind: "event",
  runId: of,
  event: { seq, time: "2026-01-01T00:00:00.000Z", type, stage: "write", ...more },
});
const abort: Entry = {
  kind: "abort",
  message: { runId, target: { state: "untouched", bytesWritten: 0, firstLba: null }, reason: "no" },
};
const seqsOf = (entries: readonly { entry: Entry }[]) =>
  entries.map(({ entry: each }) => (each.kind === "event" ? each.event.seq : each.kind));
const batchOf = (entries: readonly Entry[]) => nextBatch(entries.map(waitingFor));
const sent = (entries: readonly Entry[]) => {
  const batch = batchOf(entries);
  return batch?.kind === "events" ? batch.message.events.map(({ seq }) => seq) : batch?.kind;
};

describe("the next request", () => {
  test("nothing, where nothing waits", () => expect(nextBatch([])).toBeNull());

  test("holds events of one run, up to what is no event", () => {
    expect(sent([entry(1), entry(2), abort, entry(3)])).toEqual([1, 2]);
    expect(sent([entry(1), entry(2, "step", {}, otherRun)])).toEqual([1]);
    expect(sent([abort, entry(3)])).toBe("abort");
  });

  test("of progress, only the newest of each stage; it settles all of it", () => {
    const of = (stage: string) => ({ stage });
    const all = [
      ...[entry(1), entry(2, "progress", of("save")), entry(3, "progress", of("save"))],
      ...[entry(4, "progress", of("write")), entry(5, "progress", of("save")), entry(6, "detail")],
    ];
    expect(sent(all)).toEqual([1, 4, 5, 6]);
    expect(batchOf(all)?.settles).toHaveLength(6);
  });

  test("is what the endpoint takes, in number and in size", () => {
    const many = Array.from({ length: MOST_EVENTS + 7 }, (_, i) => entry(i + 1));
    expect(sent(many)).toHaveLength(MOST_EVENTS);
    const long = Array.from({ length: 300 }, (_, i) => entry(i + 1, "detail", { message: "ä".repeat(4000) }));
    const batch = batchOf(long);
    if (batch?.kind !== "events") throw new Error("no events");
    expect(eventBatchSchema.safeParse(batch.message).success).toBe(true);
    expect(JSON.stringify(batch.message).length).toBeLessThan(mostBatchBytes);
    expect(batch.settles.length).toBeGreaterThan(10);
    expect(batch.settles.length).toBe(batch.message.events.length);
  });

  test("a text that would fill it alone is cut, and says so", () => {
    const [batch] = [batchOf([entry(1, "detail", { message: "x".repeat(1_000_000) })])];
    if (batch?.kind !== "events") throw new Error("no events");
    expect(String(batch.message.events[0]?.message)).toEndWith("… (cut; 1000000 characters)");
    expect(JSON.stringify(batch.message).length).toBeLessThan(8000);
  });
});

describe("what fits", () => {
  test("progress goes first, then details; what went is counted, in its place; the rest is never given up", () => {
    const all = [
      entry(1, "run-started"),
      ...[entry(2, "progress"), entry(3, "progress"), entry(4, "stage-started"), entry(5, "progress")],
      ...[entry(6, "detail"), entry(7, "step"), entry(8, "target-state")],
    ].map(waitingFor);
    const size = all.reduce((sum, { line }) => sum + line.length + 1, 0);
    expect(fitting(all, size)).toBe(all);
    const some = fitting(all, size - 200);
    expect(seqsOf(some)).toEqual([1, 3, 4, 5, 6, 7, 8]);
    expect(some[1]?.entry).toMatchObject({ event: { type: "events-dropped", count: 2, seq: 3 } });
    const least = fitting(all, 10);
    expect(least.map(({ entry: e }) => (e.kind === "event" ? e.event.type : e.kind))).toEqual([
      ...["run-started", "events-dropped", "stage-started", "events-dropped", "target-state"],
    ]);
    expect(least[3]?.entry).toMatchObject({ event: { count: 3, seq: 7 } });
  });

  test("a gap does not reach over two runs", () => {
    const all = [entry(1, "progress"), entry(2, "progress", {}, otherRun)].map(waitingFor);
    expect(fitting(all, 1).map(({ entry: e }) => e)).toMatchObject([{ runId }, { runId: otherRun }]);
  });
});

describe("a queue", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "reimage-queue-"));
    path = join(directory, "queue.ndjson");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("is there again after its process was killed, without what was settled", () => {
    const queue = openQueue(path);
    for (let seq = 1; seq <= 5; seq++) queue.add(entry(seq));
    queue.settle(queue.waiting().slice(0, 2));
    queue.add(abort);
    const again = openQueue(path);
    expect(seqsOf(again.waiting())).toEqual([3, 4, 5, "abort"]);
    expect(again.lastSeq()).toBe(5);
    again.settle(again.waiting());
    expect(openQueue(path).waiting()).toEqual([]);
    expect(openQueue(path).lastSeq()).toBe(5);
  });

  test("a line that was cut is lost alone", () => {
    openQueue(path).add(entry(1));
    appendFileSync(path, '{"kind":"event","runId":"0b');
    const queue = openQueue(path);
    queue.add(entry(2));
    queue.settle(queue.waiting().slice(0, 1));
    expect(seqsOf(openQueue(path).waiting())).toEqual([2]);
  });

  test("what was settled is taken out of the file, and is remembered", () => {
    const queue = openQueue(path);
    for (let seq = 1; seq <= 400; seq++) {
      queue.add(entry(seq, "detail", { message: "x".repeat(4000) }));
      queue.settle(queue.waiting());
    }
    expect(readFileSync(path).length).toBeLessThan(1_300_000);
    queue.add(entry(401));
    expect(seqsOf(openQueue(path).waiting())).toEqual([401]);
    expect(openQueue(path).lastSeq()).toBe(401);
  });

  test("it has an end; what is under way while something is given up is settled all the same", () => {
    const queue = openQueue(path, 100_000);
    queue.add(entry(1, "progress", { what: "x".repeat(1000) }));
    queue.add(entry(2, "run-started"));
    for (let seq = 3; seq <= 50; seq++) queue.add(entry(seq, "progress", { what: "x".repeat(1000) }));
    const underWay = queue.waiting().slice(0, 3);
    for (let seq = 51; seq <= 300; seq++) queue.add(entry(seq, "progress", { what: "x".repeat(1000) }));
    queue.settle(underWay);
    expect(readFileSync(path).length).toBeLessThan(120_000);
    const seqs = seqsOf(queue.waiting());
    expect(seqs).not.toContain(2); // settled, although what stood before it had been given up
    expect(seqs.at(-1)).toBe(300);
    expect(seqs).toEqual([...seqs].sort((a, b) => Number(a) - Number(b)));
    expect(seqsOf(openQueue(path).waiting())).toEqual(seqs);
    const dropped = queue
      .waiting()
      .flatMap(({ entry: e }) =>
        e.kind === "event" && e.event.type === "events-dropped" ? [Number(e.event.count)] : [],
      );
    const there = queue.waiting().filter(({ entry: e }) => e.kind === "event" && e.event.type === "progress").length;
    expect(dropped.reduce((sum, count) => sum + count, 0) + there).toBeGreaterThanOrEqual(297);
  });

  test("what was handed over belongs to one machine", () => {
    const [one, two] = ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"];
    const text = formatQueue([entry(1), abort].map(waitingFor), 1, one);
    expect(handedOverEntries(text, one)).toEqual([entry(1), abort]);
    expect(handedOverEntries(text, two)).toEqual([]);
  });

  test.each([
    ...["", "\n\n", "[]", "null", '"event"', '{"kind":"event"}', '{"kind":"event","runId":"x","event":{}}', "{"],
    ...['{"kind":"settled","count":-3}', '{"kind":"settled","count":1e99}', '{"kind":"head","lastSeq":"5"}'],
    ...['{"kind":"report","message":{}}', '{"kind":"abort","message":{"runId":"../x"}}'],
  ])("rubbish is left out: %s", (line) => {
    const good = JSON.stringify(entry(1));
    expect(seqsOf(parseQueue(`${good}\n${line}\n${JSON.stringify(abort)}\n`).waiting)).toEqual([1, "abort"]);
    expect(parseEntry(line)).toBeNull();
  });
});
