import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Batch } from "../../../src/control/client/entries.ts";
import { openQueue, type Queue } from "../../../src/control/client/queue.ts";
import { Refusal } from "../../../src/control/client/refusal.ts";
import { type SenderOptions, startSender } from "../../../src/control/client/sender.ts";

const runId = "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const waitMs = 60_000; // how long something takes is not what is tested

let directory: string;
let queue: Queue;
let told: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "reimage-sender-"));
  queue = openQueue(join(directory, "queue.ndjson"));
  told = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

function add(seq: number, to = queue, type = "step"): void {
  to.add({ kind: "event", runId, event: { seq, time: "2026-01-01T00:00:00.000Z", type, stage: "write" } });
}

function start(deliver: SenderOptions["deliver"], more: Partial<SenderOptions> = {}) {
  return startSender({
    queues: [queue],
    ready: Promise.resolve(),
    deliver,
    onRefused: ({ message }) => told.push(message),
    onTaken: () => told.push("taken"),
    random: () => 0,
    firstPauseMs: 10,
    ...more,
  });
}

const seqsOf = (batch: Batch) => (batch.kind === "events" ? batch.message.events.map(({ seq }) => seq) : []);

describe("the sender", () => {
  test("sends what waits, in order, and what comes later; four requests a second at most", async () => {
    const times: number[] = [];
    const got: number[] = [];
    add(1);
    await using sender = start(async (batch) => {
      times.push(performance.now());
      got.push(...seqsOf(batch));
      const last = got.at(-1) ?? 0;
      if (last < 4) add(last + 1);
    });
    expect(await sender.flush(waitMs)).toBe(true);
    expect(got).toEqual([1, 2, 3, 4]);
    for (let i = 1; i < times.length; i++) expect((times[i] ?? 0) - (times[i - 1] ?? 0)).toBeGreaterThanOrEqual(245);
    expect(told).toEqual([]);
  });

  test("tries again what was not taken, says each reason once, and that it is over", async () => {
    let tries = 0;
    add(1);
    await using sender = start(async () => {
      tries += 1;
      if (tries < 4) throw new Refusal("passing", 503, tries < 3 ? "answered 503" : "was silent");
    });
    expect(sender.hasTaken()).toBe(false);
    expect(await sender.flush(waitMs)).toBe(true);
    expect({ tries, told }).toEqual({ tries: 4, told: ["answered 503", "was silent", "taken"] });
    expect(sender.hasTaken()).toBe(true);
  });

  test("an acknowledgement that comes when more waits settles what was sent, and no more", async () => {
    add(1);
    const batches: number[][] = [];
    await using sender = start(async (batch) => {
      batches.push(seqsOf(batch));
      if (batches.length === 1) for (let seq = 2; seq < 5; seq++) add(seq);
    });
    expect(await sender.flush(waitMs)).toBe(true);
    expect(batches).toEqual([[1], [2, 3, 4]]);
  });

  test("leaves an endpoint alone for as long as it says, flush or not", async () => {
    const times: number[] = [];
    add(1);
    await using sender = start(async () => {
      times.push(performance.now());
      if (times.length === 1) throw new Refusal("passing", 429, "answered 429", { pauseSeconds: 2 });
    });
    await Bun.sleep(50);
    expect(await sender.flush(waitMs)).toBe(true);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(1990);
  });

  test("what nobody can take stands in one queue only", async () => {
    const other = openQueue(join(directory, "earlier.ndjson"));
    add(1, other);
    add(2);
    const taken: number[] = [];
    await using sender = start(
      async (batch) => {
        if (seqsOf(batch).includes(1)) throw new Refusal("lasting", 400, "answered 400");
        taken.push(...seqsOf(batch));
      },
      { queues: [other, queue] },
    );
    expect(await sender.flush(1500)).toBe(false);
    expect(taken).toEqual([2]);
    expect(other.waiting()).toHaveLength(1);
    expect(told[0]).toBe("answered 400");
  });

  test("waits for a network, and ends while it waits, or while an answer is due", async () => {
    const network = Promise.withResolvers<void>();
    let requests = 0;
    add(1);
    const deliver: SenderOptions["deliver"] = async (_batch, signal) => {
      requests += 1;
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    {
      await using sender = start(deliver, { ready: network.promise });
      expect(await sender.flush(300)).toBe(false);
      expect(requests).toBe(0);
    }
    {
      await using sender = start(deliver);
      expect(await sender.flush(300)).toBe(false);
      expect(requests).toBe(1);
    }
    expect({ told, waiting: queue.waiting().length }).toEqual({ told: [], waiting: 1 });
  });

  test("the pauses grow, and never all machines' alike", async () => {
    const pauses = async (random: number) => {
      const times: number[] = [];
      await using _sender = start(
        async () => {
          times.push(performance.now());
          throw new Refusal("passing", null, "is away");
        },
        { random: () => random, firstPauseMs: 400 },
      );
      while (times.length < 3) await Bun.sleep(10);
      return times.slice(1).map((time, i) => time - (times[i] ?? 0));
    };
    add(1);
    const [least, most] = [await pauses(0), await pauses(0.99)];
    expect(least[0]).toBeGreaterThanOrEqual(245);
    expect(least[1]).toBeGreaterThanOrEqual(395);
    expect(most[0]).toBeGreaterThanOrEqual(395);
    expect(most[1]).toBeGreaterThanOrEqual(790);
  });
});
