/** Whatever text a machine sends comes back, on both databases alike; what no database can hold is replaced. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { eachDatabase, event, goodReport } from "../support/control-server.ts";

const texts: readonly (readonly [sent: string, shown: string])[] = [
  ['it\'s "quoted" \\ 100% $1 :x ? {a,b} NULL', 'it\'s "quoted" \\ 100% $1 :x ? {a,b} NULL'],
  ["zero\u0000byte", "zero\ufffdbyte"],
  ["half \ud83d of a pair", "half \ufffd of a pair"],
  ["👩‍🚀 \u2028 \u0001 äöü", "👩‍🚀 \u2028 \u0001 äöü"],
  ["", ""],
];

eachDatabase("texts of machines", (open) => {
  test.each(texts)(
    "%j",
    async (sent, shown) => {
      await using serve = await open();
      const machine = await serve.enrol();
      const runId = randomUUID();
      const doneBytes = Number.MAX_SAFE_INTEGER;
      const progress = event(1, { type: "progress", stage: "write", what: sent, doneBytes, totalBytes: doneBytes });
      expect((await machine.post("events", { runId, events: [progress] })).body).toEqual({ lastSeq: 1 });
      const { run } = await serve.must<Machine>("GET", `/machines/${machine.id}`);
      expect(run).toMatchObject({ what: shown, doneBytes, totalBytes: doneBytes });
      const { events } = await serve.must<{ events: unknown[] }>("GET", `/runs/${runId}/events`);
      const stored = (text: string) => JSON.parse(text.replaceAll("\\u0000", "\ufffd"));
      expect(events).toEqual([stored(JSON.stringify(progress))]);
      const failed = goodReport("os-2", { outcome: "failed", target: "untouched", reason: sent });
      expect((await machine.post("report", { runId, report: failed })).status).toBe(200);
      expect(await serve.must<object>("GET", `/runs/${runId}/report`)).toEqual(stored(JSON.stringify(failed)));
      expect((await serve.must<{ reason: string }>("GET", `/runs/${runId}`)).reason).toBe(shown);
    },
    30_000,
  );
});
