/** Machines that send events until they are taken, whatever becomes of serve meanwhile. */
import { expect } from "bun:test";
import { randomUUID } from "node:crypto";
import type { WireEvent } from "../../src/control/protocol/run.ts";
import { event } from "./control-server.ts";
import { ask, type EnrolledMachine, must } from "./serve-process.ts";

/** Below what serve lets one machine send. */
const PAUSE_MILLISECONDS = 40;
const EVENTS_A_PAGE = 5000;

export interface Sender {
  readonly machine: EnrolledMachine;
  readonly runId: string;
  /** Everything that it has tried to send. */
  readonly events: readonly WireEvent[];
  /** The highest sequence number that serve has said it stores. */
  readonly acknowledged: () => number;
}

export interface Senders extends AsyncDisposable {
  readonly all: readonly Sender[];
  /** How often each status was answered; 0: no answer. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Answers that are refusals and do not say when to come again. */
  readonly withoutRetryAfter: () => number;
  /** Waits until so many more batches were taken. */
  taken(count: number): Promise<void>;
  /** Ends: each sends what it has begun until it is taken. */
  finish(): Promise<void>;
}

/** @param apiOf where to send next; senders take turns where there are several. */
export function startSenders(machines: readonly EnrolledMachine[], apiOf: (turn: number) => string): Senders {
  const statuses = new Map<number, number>();
  let isFinishing = false;
  let isAbandoned = false;
  let takenBatches = 0;
  let missing = 0;
  let turn = 0;

  const running = machines.map((machine) => {
    const runId = randomUUID();
    const events: WireEvent[] = [];
    let acknowledged = 0;
    async function send(): Promise<void> {
      while (!isFinishing && !isAbandoned) {
        const first = events.length + 1;
        const batch = Array.from({ length: 1 + (first % 4) }, (_, i) => {
          return event(first + i, {
            type: "progress",
            stage: "write",
            what: `byte ${first + i}`,
            doneBytes: first + i,
          });
        });
        events.push(...batch);
        for (;;) {
          if (isAbandoned) return;
          turn += 1;
          const url = `${apiOf(turn)}/machines/${machine.id}/events`;
          const answer = await ask("POST", url, machine.token, { runId, events: batch });
          const status = answer?.status ?? 0;
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (answer?.status === 503 && answer.headers.get("retry-after") === null) missing += 1;
          if (answer?.status === 200) {
            acknowledged = (answer.body as { lastSeq: number }).lastSeq;
            takenBatches += 1;
          }
          await Bun.sleep(PAUSE_MILLISECONDS);
          if (status === 200) break;
        }
      }
    }
    return { sender: { machine, runId, events, acknowledged: () => acknowledged }, done: send() };
  });
  return {
    all: running.map(({ sender }) => sender),
    statuses,
    withoutRetryAfter: () => missing,
    async taken(count) {
      const wanted = takenBatches + count;
      while (takenBatches < wanted) await Bun.sleep(1);
    },
    async finish() {
      isFinishing = true;
      await Promise.all(running.map(({ done }) => done));
    },
    async [Symbol.asyncDispose]() {
      isAbandoned = true;
      await Promise.all(running.map(({ done }) => done));
    },
  };
}

/** What serve has stored of a run. */
export async function storedEvents(api: string, adminToken: string, runId: string): Promise<WireEvent[]> {
  const stored: WireEvent[] = [];
  for (;;) {
    const after = stored.at(-1)?.seq ?? 0;
    const url = `${api}/runs/${runId}/events?after=${after}&limit=${EVENTS_A_PAGE}`;
    const { events } = await must<{ events: WireEvent[] }>("GET", url, adminToken);
    if (events.length === 0) return stored;
    stored.push(...events);
  }
}

/** Everything that was sent is there once, as it was sent, and the run knows how far it has come. */
export async function expectAllStored(api: string, adminToken: string, senders: Senders): Promise<void> {
  for (const { runId, events } of senders.all) {
    expect(await storedEvents(api, adminToken, runId)).toEqual([...events]);
    const run = await must<{ lastSeq: number }>("GET", `${api}/runs/${runId}`, adminToken);
    expect(run.lastSeq).toBe(events.length);
  }
}
