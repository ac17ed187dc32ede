/** Old events are deleted, so that the disk does not fill for ever. Runs, their reports and the audit stay. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Store } from "../database/store.ts";
import { SERVE } from "./actor.ts";

const DAY_MILLISECONDS = 86_400_000;
/** Rows in one transaction, and runs in one query: what machines send meanwhile waits for no longer than that takes. */
const ROWS_A_TRANSACTION = 1000;
const RUNS_A_QUERY = 100;
const PAUSE_MILLISECONDS = 50;
const FIRST_AFTER_MILLISECONDS = 1000;
const EVERY_MILLISECONDS = 3_600_000;

/** Deletes old events in the background, now and then. @param onError is told where that failed; it is tried again. */
export function openPruning(store: Store, keepDays: number, onError: (error: unknown) => void): AsyncDisposable {
  const stop = new AbortController();
  async function pruneForever(): Promise<void> {
    await sleep(FIRST_AFTER_MILLISECONDS, undefined, { signal: stop.signal });
    for (;;) {
      await pruneEvents(store, keepDays, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) onError(error);
      });
      await sleep(EVERY_MILLISECONDS, undefined, { signal: stop.signal });
    }
  }
  const running = pruneForever().catch(() => {}); // told to stop
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

/** Deletes the events that were received more than `keepDays` ago. @throws ReimageError `unavailable` */
export async function pruneEvents(store: Store, keepDays: number, signal: AbortSignal): Promise<void> {
  const beforeMs = store.now() - keepDays * DAY_MILLISECONDS;
  for (let after = ""; ; ) {
    const runs = await store.db
      .selectFrom("runs")
      .select("id")
      .where("started_at", "<", beforeMs)
      .where("id", ">", after)
      .orderBy("id")
      .limit(RUNS_A_QUERY)
      .execute();
    const last = runs.at(-1);
    if (last === undefined) break;
    for (const { id } of runs) while (await pruneRun(store, id, beforeMs)) await rest(signal);
    after = last.id;
    await rest(signal);
  }
  while (await pruneProvisioning(store, beforeMs)) await rest(signal);
}

async function rest(signal: AbortSignal): Promise<void> {
  await sleep(PAUSE_MILLISECONDS, undefined, { signal });
}

/** @returns whether there was something; then there may be more. */
async function pruneRun(store: Store, runId: string, beforeMs: number): Promise<boolean> {
  // A run's events are received in about the order of their numbers: where the first one is not old, none is.
  const oldest = store.db
    .selectFrom("events")
    .select(["seq", "received_at"])
    .where("run_id", "=", runId)
    .orderBy("seq");
  const rows = await oldest.limit(ROWS_A_TRANSACTION).execute();
  const end = rows.findIndex(({ received_at }) => received_at >= beforeMs);
  const old = end === -1 ? rows : rows.slice(0, end);
  const last = old.at(-1);
  if (last === undefined) return false;
  await store.write(SERVE, async ({ db }) => {
    await db.deleteFrom("events").where("run_id", "=", runId).where("seq", "<=", last.seq).execute();
  });
  return true;
}

/** As `pruneRun`, for the events of the compatible facades. */
async function pruneProvisioning(store: Store, beforeMs: number): Promise<boolean> {
  const query = store.db.selectFrom("provisioning_events").select(["id", "received_at"]).orderBy("id");
  const rows = await query.limit(ROWS_A_TRANSACTION).execute();
  const old = rows.filter(({ received_at }) => received_at < beforeMs).map(({ id }) => id);
  if (old.length === 0) return false;
  await store.write(SERVE, async ({ db }) => {
    await db.deleteFrom("provisioning_events").where("id", "in", old).execute();
  });
  return true;
}
