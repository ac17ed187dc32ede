/**
 * Sends what waits in the queues, in the background: one request at a time, four a second at most. Nobody waits for it but
 * `flush`, for a time that is bounded.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../errors.ts";
import { type Batch, nextBatch } from "./entries.ts";
import type { Queue } from "./queue.ts";
import { Refusal } from "./refusal.ts";

export interface SenderOptions {
  /** The first one that has something to send goes first. */
  readonly queues: readonly Queue[];
  /** Sends one batch. @throws Refusal where it was not taken */
  deliver(batch: Batch, signal: AbortSignal): Promise<void>;
  /** Resolves when sending can begin: there is a network, and a token. */
  readonly ready: Promise<void>;
  /** Told that something is not taken; again only where the reason is another one. */
  onRefused(refusal: Refusal): void;
  /** Told that it is taken again. */
  onTaken(): void;
  /** For tests. @returns from 0 to below 1 */
  random?(): number;
  readonly firstPauseMs?: number;
}

/** Disposing ends a request that is under way, and sends no more. */
export interface Sender extends AsyncDisposable {
  /** There is something new. */
  wake(): void;
  /** Sends what waits, at once and again. @returns whether all of it is settled; after `limitMs` at the latest. */
  flush(limitMs: number): Promise<boolean>;
  /** Whether the endpoint has ever taken something. */
  hasTaken(): boolean;
}

const LEAST_DISTANCE_MS = 250;
const MOST_PAUSE_MS = 60_000;
/** Retry-After counts, but not for a whole day. */
const MOST_ASKED_PAUSE_MS = 600_000;
/** While somebody waits. */
const FLUSH_PAUSE_MS = 500;

export function startSender(options: SenderOptions): Sender {
  const { queues, deliver, random = Math.random, firstPauseMs = 1000 } = options;
  const stop = new AbortController();
  const pauses = new Map<Queue, { readonly untilMs: number; readonly isAsked: boolean }>();
  let failures = 0;
  let flushing = 0;
  let lastReason: string | null = null;
  let hasTaken = false;
  let alarm = Promise.withResolvers<void>();

  const isEmpty = () => queues.every((queue) => queue.waiting().length === 0);
  const ring = () => {
    alarm.resolve();
    alarm = Promise.withResolvers();
  };

  /** Waits, until it is rung for at the latest. Keeps no process alive. */
  async function pause(ms: number): Promise<void> {
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, stop.signal]);
    await Promise.race([alarm.promise, sleep(ms, undefined, { signal, ref: false }).catch(() => {})]);
    end.abort();
  }

  function pauseMsAfter(refusal: Refusal): number {
    const longest = Math.min(MOST_PAUSE_MS, firstPauseMs * 2 ** failures);
    failures = Math.min(failures + 1, 16);
    const own = flushing > 0 ? FLUSH_PAUSE_MS : refusal.kind === "lasting" ? MOST_PAUSE_MS : longest;
    const jittered = own * (0.5 + random() / 2); // a fleet that lost its endpoint must not come back in step
    return Math.max(jittered, Math.min(refusal.pauseSeconds * 1000, MOST_ASKED_PAUSE_MS));
  }

  async function sendOnce(queue: Queue, batch: Batch): Promise<void> {
    try {
      await deliver(batch, stop.signal);
      queue.settle(batch.settles);
      hasTaken = true;
      failures = 0;
      if (lastReason !== null) options.onTaken();
      lastReason = null;
    } catch (thrown) {
      if (stop.signal.aborted) return;
      const refusal = thrown instanceof Refusal ? thrown : new Refusal("lasting", null, describeError(thrown));
      const next = { untilMs: performance.now() + pauseMsAfter(refusal), isAsked: refusal.pauseSeconds > 0 };
      // What nobody can take may stand in one queue only; an endpoint that is away takes nothing from any.
      for (const each of refusal.kind === "lasting" ? [queue] : queues) pauses.set(each, next);
      if (refusal.message !== lastReason) options.onRefused(refusal);
      lastReason = refusal.message;
    }
  }

  async function run(): Promise<void> {
    await Promise.race([options.ready, once(stop.signal)]);
    while (!stop.signal.aborted) {
      const now = performance.now();
      const waiting = queues.filter((queue) => queue.waiting().length > 0);
      const queue = waiting.find((each) => (pauses.get(each)?.untilMs ?? 0) <= now);
      const batch = queue === undefined ? null : nextBatch(queue.waiting());
      if (queue === undefined || batch === null) {
        const untilMs = Math.min(...waiting.map((each) => pauses.get(each)?.untilMs ?? 0));
        await pause(waiting.length === 0 ? MOST_ASKED_PAUSE_MS : untilMs - now);
        continue;
      }
      await sendOnce(queue, batch);
      ringFlushers();
      const restMs = LEAST_DISTANCE_MS - (performance.now() - now);
      if (restMs > 0) await sleep(restMs, undefined, { signal: stop.signal, ref: false }).catch(() => {});
    }
  }

  const flushers = new Set<() => void>();
  const ringFlushers = () => {
    if (isEmpty()) for (const done of flushers) done();
  };
  const running = run();
  return {
    wake: ring,
    hasTaken: () => hasTaken,
    async flush(limitMs) {
      if (isEmpty()) return true;
      const empty = Promise.withResolvers<void>();
      flushers.add(empty.resolve);
      flushing += 1;
      for (const [queue, { isAsked }] of pauses) if (!isAsked) pauses.delete(queue);
      ring();
      const timer = setTimeout(empty.resolve, limitMs);
      await empty.promise;
      clearTimeout(timer);
      flushing -= 1;
      flushers.delete(empty.resolve);
      return isEmpty();
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      ring();
      for (const done of flushers) done();
      await running;
    },
  };
}

async function once(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}
