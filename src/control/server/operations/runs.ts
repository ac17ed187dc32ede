/** What is kept of runs, read. */
import { ReimageError } from "../../../errors.ts";
import type { Run, WireEvent, WireReport } from "../../protocol/run.ts";
import type { Store } from "../database/store.ts";
import type { RunRow } from "../database/tables.ts";
import { isoTime } from "./time.ts";

/** The newest first. @param machineId of one machine; null: of all. */
export async function listRuns(store: Store, machineId: string | null, limit: number): Promise<Run[]> {
  let query = store.db.selectFrom("runs").selectAll().orderBy("started_at", "desc").limit(limit);
  if (machineId !== null) query = query.where("machine_id", "=", machineId);
  return (await query.execute()).map(asRun);
}

/** @throws ReimageError `not-found` */
export async function readRun(store: Store, id: string): Promise<Run> {
  return asRun(await readRow(store, id));
}

/** report.json as the machine sent it. @throws ReimageError `not-found` for the run, or where it has not reported. */
export async function readRunReport(store: Store, id: string): Promise<WireReport> {
  const { report } = await readRow(store, id);
  if (report === null) throw new ReimageError("not-found", `run ${id} has not reported`);
  return JSON.parse(report);
}

/** Events with a sequence number above `after`, in order. @throws ReimageError `not-found` */
export async function listEvents(store: Store, runId: string, after: number, limit: number): Promise<WireEvent[]> {
  await readRow(store, runId);
  const rows = await store.db
    .selectFrom("events")
    .select("body")
    .where("run_id", "=", runId)
    .where("seq", ">", after)
    .orderBy("seq")
    .limit(limit)
    .execute();
  return rows.map(({ body }) => JSON.parse(body));
}

async function readRow(store: Store, id: string): Promise<RunRow> {
  const row = await store.db.selectFrom("runs").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw new ReimageError("not-found", `there is no run ${id}`);
  return row;
}

function asRun(row: RunRow): Run {
  return {
    id: row.id,
    machineId: row.machine_id,
    reinstallId: row.reinstall_id,
    attempt: row.attempt,
    startedAt: isoTime(row.started_at),
    endedAt: isoTime(row.ended_at),
    stage: row.stage,
    target: row.target,
    outcome: row.outcome,
    verdict: row.verdict,
    reason: row.reason,
    imageId: row.image_id,
    lastSeq: row.last_seq,
  };
}
