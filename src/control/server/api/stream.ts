/** Server-sent events: which machines have changed, at most once a second; and the events of one run as they come. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { MachinesChanged } from "../../protocol/feed.ts";
import { listMachines } from "../operations/machine-list.ts";
import { listEvents, readRun } from "../operations/runs.ts";
import type { Endpoint } from "./context.ts";

const GATHER_MILLISECONDS = 1000;
/** So that proxies do not take the silence for the end. */
const COMMENT_MILLISECONDS = 15_000;
const MOST_EVENTS = 1000;

/**
 * @param isWelcome whether who asked may still be told: a token that is revoked ends its streams.
 * @param runId whose events are wanted too; those that are there already come first.
 * @param after only events with a higher sequence number.
 * @throws ReimageError `not-found`
 */
export async function streamChanges(
  context: Context,
  { store, stopping, onError }: Endpoint,
  runId: string | null,
  after: number,
  isWelcome: () => Promise<boolean>,
): Promise<Response> {
  const run = runId === null ? null : await readRun(store, runId);
  return streamSSE(context, async (stream) => {
    const changed = new Set<string>();
    let wake = () => {};
    let isAllChanged = false;
    const unsubscribe = store.feed.subscribe((ids) => {
      if (ids === null) isAllChanged = true;
      else for (const id of ids) changed.add(id);
      wake();
    });
    stream.onAbort(() => {
      unsubscribe();
      wake();
    });
    const end = () => wake();
    stopping.addEventListener("abort", end, { once: true });
    const isOver = () => stream.aborted || stream.closed || stopping.aborted;

    let lastSeq = after;
    async function sendEvents(): Promise<void> {
      if (run === null) return;
      for (;;) {
        const events = await listEvents(store, run.id, lastSeq, MOST_EVENTS);
        if (events.length === 0 || isOver()) return;
        lastSeq = events.at(-1)?.seq ?? lastSeq;
        await stream.writeSSE({ event: "run-events", data: JSON.stringify({ runId: run.id, events }) });
      }
    }
    async function sendMachines(): Promise<void> {
      if (isAllChanged) {
        isAllChanged = false;
        await stream.writeSSE({ event: "hello", data: "{}" }); // what is shown may be old: it is loaded again
      }
      const ids = [...changed];
      changed.clear();
      if (ids.length === 0) return;
      const machines = await listMachines(store, { ids, limit: ids.length });
      const found = new Set(machines.map(({ id }) => id));
      const message: MachinesChanged = { machines, removed: ids.filter((id) => !found.has(id)) };
      await stream.writeSSE({ event: "machines", data: JSON.stringify(message) });
    }

    try {
      await stream.writeSSE({ event: "hello", data: "{}" });
      await sendEvents();
      while (!isOver()) {
        const woken = new Promise<"woken">((resolve) => {
          wake = () => resolve("woken");
        });
        const hasChanged = isAllChanged || changed.size > 0;
        const how = hasChanged ? "woken" : await Promise.race([woken, sleep(COMMENT_MILLISECONDS, "quiet" as const)]);
        if (isOver() || !(await isWelcome())) break;
        if (how === "quiet") {
          await stream.write(":\n\n");
          continue;
        }
        const isOurs = run === null || isAllChanged || changed.has(run.machineId);
        await sendMachines();
        if (isOurs) await sendEvents();
        await sleep(GATHER_MILLISECONDS);
      }
    } catch (error) {
      onError(error); // the stream ends, and who watches opens another
    } finally {
      stopping.removeEventListener("abort", end); // it outlives every stream
      unsubscribe();
    }
  });
}
