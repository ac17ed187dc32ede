/** Takes the events of runs in: many machines' batches in one transaction, acknowledged when they are durable. */
import { sql } from "kysely";
import { ReimageError } from "../../../errors.ts";
import type { EventBatch, EventReceipt } from "../../protocol/run.ts";
import { createGroupCommit, type Outcome, type Submit } from "../database/group-commit.ts";
import { executeTogether, insertRows, isOneOf } from "../database/many.ts";
import type { Store, WriteScope } from "../database/store.ts";
import type { RunRow } from "../database/tables.ts";
import { foldEvents, notBegun, type RunProgress } from "../decisions/fold-events.ts";
import { decideObserved } from "../decisions/reinstall.ts";
import { SERVE } from "./actor.ts";
import { applyTransition, noteLastRun, readOpenReinstall } from "./open-reinstall.ts";
import { requireOwnRuns } from "./run-owner.ts";

/** What one machine has sent in one request. */
export interface SentEvents extends EventBatch {
  readonly machineId: string;
}

const MOST_REQUESTS_A_TRANSACTION = 256;
/** Each commit waits for the disk: fewer of them leave it more time for the rest. */
const GATHER_MILLISECONDS = 5;

/** A run, but for the long texts that events do not change. */
type EventRun = Omit<RunRow, "report" | "abort_answer">;

const runColumns = {
  id: "text",
  machine_id: "text",
  reinstall_id: "text",
  attempt: "bigint",
  started_at: "bigint",
  ended_at: "bigint",
  stage: "text",
  what: "text",
  done_bytes: "bigint",
  total_bytes: "bigint",
  target: "text",
  outcome: "text",
  verdict: "text",
  reason: "text",
  image_id: "text",
  last_seq: "bigint",
} as const satisfies Record<keyof EventRun, "text" | "bigint">;
const eventColumns = {
  run_id: "text",
  seq: "bigint",
  machine_id: "text",
  received_at: "bigint",
  body: "text",
} as const;
const presenceColumns = { machine_id: "text", seen_at: "bigint" } as const;

/** @returns what takes events in. It throws ReimageError `not-found`, `forbidden` (another machine's run), `unavailable`. */
export function createEventIntake(store: Store): Submit<SentEvents, EventReceipt> {
  return createGroupCommit(
    (items) => store.write(SERVE, (scope) => takeIn(scope, items)),
    MOST_REQUESTS_A_TRANSACTION,
    GATHER_MILLISECONDS,
  );
}

async function takeIn(scope: WriteScope, items: readonly SentEvents[]): Promise<Outcome<EventReceipt>[]> {
  const { db, nowMs } = scope;
  const known = await lockMachines(scope, items);
  const runIds = [...new Set(items.map(({ runId }) => runId))];
  const rows = await db
    .selectFrom("runs")
    .select(Object.keys(runColumns) as (keyof EventRun)[])
    .where(isOneOf(scope.dialect, "id", runIds))
    .execute();
  const runs = new Map(rows.map((row) => [row.id, row]));
  const before = new Map(rows.map((row) => [row.id, row.target]));

  const taken: SentEvents[] = [];
  const outcomes = items.map((item): Outcome<EventReceipt> => {
    const refusal = refuse(item, known, runs);
    if (refusal !== null) return { error: refusal };
    const run = foldInto(runs.get(item.runId), item, nowMs);
    runs.set(item.runId, run);
    taken.push(item);
    return { result: { lastSeq: run.last_seq } };
  });
  if (taken.length === 0) return outcomes;

  const changed = new Map(taken.map(({ runId }) => [runId, runs.get(runId) as EventRun]));
  await writeTaken(scope, [...changed.values()], taken);
  await requireOwnRuns(
    scope,
    [...changed.values()].filter(({ id }) => !before.has(id)),
  );
  for (const run of changed.values()) {
    scope.changed(run.machine_id);
    if (!before.has(run.id)) {
      await noteLastRun(scope, run.machine_id, run.id);
    }
    if (run.target !== (before.get(run.id) ?? "untouched")) await observe(scope, run);
  }
  return outcomes;
}

async function lockMachines(scope: WriteScope, items: readonly SentEvents[]): Promise<ReadonlySet<string>> {
  const ids = [...new Set(items.map(({ machineId }) => machineId))].sort();
  return new Set(await scope.lockMachines(ids));
}

function refuse(
  { machineId, runId }: SentEvents,
  known: ReadonlySet<string>,
  runs: ReadonlyMap<string, EventRun>,
): ReimageError | null {
  if (!known.has(machineId)) return new ReimageError("not-found", `there is no machine ${machineId}`);
  const owner = runs.get(runId)?.machine_id ?? machineId;
  return owner === machineId ? null : new ReimageError("forbidden", `run ${runId} is not machine ${machineId}'s`);
}

function foldInto(row: EventRun | undefined, { machineId, runId, events }: SentEvents, nowMs: number): EventRun {
  const first: EventRun = {
    id: runId,
    machine_id: machineId,
    reinstall_id: null,
    attempt: null,
    started_at: nowMs,
    ended_at: null,
    stage: null,
    what: null,
    done_bytes: null,
    total_bytes: null,
    target: "untouched",
    outcome: null,
    verdict: null,
    reason: null,
    image_id: null,
    last_seq: 0,
  };
  const run = row ?? first;
  const progress: RunProgress = {
    ...notBegun,
    stage: run.stage,
    what: run.what,
    doneBytes: run.done_bytes,
    totalBytes: run.total_bytes,
    target: run.target,
    outcome: run.outcome,
    reason: run.reason,
    lastSeq: run.last_seq,
  };
  const after = foldEvents(progress, events);
  const isReported = run.verdict !== null; // the report is the last word
  return {
    ...run,
    stage: after.stage,
    what: after.what,
    done_bytes: after.doneBytes,
    total_bytes: after.totalBytes,
    target: after.target,
    outcome: isReported ? run.outcome : after.outcome,
    reason: isReported ? run.reason : after.reason,
    last_seq: after.lastSeq,
    ended_at: isReported || after.outcome !== null ? (run.ended_at ?? nowMs) : null,
  };
}

async function writeTaken(scope: WriteScope, runs: readonly EventRun[], taken: readonly SentEvents[]): Promise<void> {
  const { db, dialect, nowMs } = scope;
  const seen = [...new Set(runs.map(({ machine_id }) => machine_id))];
  const presence = seen.map((machine_id) => ({ machine_id, seen_at: nowMs }));
  const events = taken.flatMap(({ runId, machineId, events: sent }) =>
    sent.map((event) => {
      return { run_id: runId, seq: event.seq, machine_id: machineId, received_at: nowMs, body: JSON.stringify(event) };
    }),
  );
  await executeTogether(db, dialect, [
    sql`${insertRows(dialect, "runs", runColumns, runs)} on conflict (id) do update set
      stage = excluded.stage, what = excluded.what, done_bytes = excluded.done_bytes, total_bytes = excluded.total_bytes,
      target = excluded.target, outcome = excluded.outcome, reason = excluded.reason, last_seq = excluded.last_seq,
      ended_at = excluded.ended_at`,
    sql`${insertRows(dialect, "presence", presenceColumns, presence)} on conflict (machine_id) do update set
      seen_at = excluded.seen_at`,
    sql`${insertRows(dialect, "events", eventColumns, events)} on conflict do nothing`,
  ]);
}

/** The disk of a machine was touched: that decides about its reinstallation too. */
async function observe(scope: WriteScope, run: EventRun): Promise<void> {
  const open = await readOpenReinstall(scope.db, run.machine_id);
  if (open === null) return;
  const transition = decideObserved(open.facts, run.id, run.target);
  const machine = await scope.lockMachine(run.machine_id);
  if (transition !== null && machine !== null) await applyTransition(scope, machine, open, transition);
}
