/** Events are kept for so many days; the runs they belong to for ever. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { pruneEvents } from "../../src/control/server/operations/prune.ts";
import { eachDatabase, event, goodReport } from "../support/control-server.ts";

const DAY = 86_400_000;
const never = new AbortController().signal;

eachDatabase("old events", (open) => {
  test("are deleted; newer ones, the runs and the reports stay", async () => {
    let nowMs = Date.UTC(2026, 0, 1);
    await using serve = await open({ now: () => nowMs });
    const machine = await serve.enrol();
    const [old, long, fresh] = [randomUUID(), randomUUID(), randomUUID()];
    const send = async (runId: string, from: number, count: number) => {
      for (let first = from; first < from + count; first += 500) {
        const length = Math.min(500, from + count - first);
        const events = Array.from({ length }, (_, i) => event(first + i, { type: "step", message: "x" }));
        expect((await machine.post("events", { runId, events })).status).toBe(200);
      }
    };
    const seqs = async (runId: string) => {
      const { events } = await serve.must<{ events: { seq: number }[] }>("GET", `/runs/${runId}/events?limit=5000`);
      return events.map(({ seq }) => seq);
    };
    await send(old, 1, 2500); // more than fit into one transaction
    await send(long, 1, 3);
    expect((await machine.post("report", { runId: old, report: goodReport("os-2") })).status).toBe(200);
    nowMs += 60 * DAY;
    await send(long, 4, 3);
    nowMs += 40 * DAY;
    await send(fresh, 1, 3);
    await pruneEvents(serve.serve.endpoint.store, 90, never);
    expect(await seqs(old)).toEqual([]);
    expect(await seqs(long)).toEqual([4, 5, 6]);
    expect(await seqs(fresh)).toEqual([1, 2, 3]);
    expect(await serve.must<object>("GET", `/runs/${old}`)).toMatchObject({ lastSeq: 2500, outcome: "success" });
    expect(await serve.must<object>("GET", `/runs/${old}/report`)).toEqual(goodReport("os-2"));
    // What is sent late once more does not bring anything back to life, and is answered as before.
    expect((await machine.post("events", { runId: long, events: [event(6, { type: "step" })] })).body).toEqual({
      lastSeq: 6,
    });
  }, 30_000);

  test("are looked for by a running endpoint itself", async () => {
    let nowMs = Date.UTC(2026, 0, 1);
    await using serve = await open({ now: () => nowMs, keepDays: 7 });
    const machine = await serve.enrol();
    const runId = randomUUID();
    await machine.post("events", { runId, events: [event(1, { type: "run-started" })] });
    nowMs += 8 * DAY;
    for (;;) {
      const { events } = await serve.must<{ events: unknown[] }>("GET", `/runs/${runId}/events`);
      if (events.length === 0) break;
      await Bun.sleep(50);
    }
  }, 30_000);
});
