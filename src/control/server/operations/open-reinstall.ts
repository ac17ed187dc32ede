/** The open reinstallation of a machine: read for a decision, and changed as the decision says. */
import { randomUUID } from "node:crypto";
import type { Kysely } from "kysely";
import { LOCAL, REINSTALL } from "../../protocol/boot.ts";
import { type Image, imageSchema } from "../../protocol/image.ts";
import { bootInfoSchema, type WireBootInfo } from "../../protocol/machine.ts";
import type { WriteScope } from "../database/store.ts";
import type { MachineRow, ReinstallRow, Tables } from "../database/tables.ts";
import { bootInState, isEnded, type ReinstallFacts, type Transition } from "../decisions/reinstall-facts.ts";
import { bootLocal, rescueDeployment, setDeployment } from "./deployment.ts";
import { requireOwnRuns } from "./run-owner.ts";

/** A reinstallation that has not ended, with what decisions need to know of it. */
export interface OpenReinstall {
  readonly row: ReinstallRow;
  readonly facts: ReinstallFacts;
}

/** Null where the machine is not marked. */
export async function readOpenReinstall(db: Kysely<Tables>, machineId: string): Promise<OpenReinstall | null> {
  const row = await db
    .selectFrom("reinstalls")
    .selectAll()
    .where("machine_id", "=", machineId)
    .where("ended_at", "is", null)
    .executeTakeFirst();
  if (row === undefined) return null;
  const runs = await db
    .selectFrom("runs")
    .select(["id", "reinstall_id", "started_at", "target", "verdict"])
    .where("machine_id", "=", machineId)
    .execute();
  const own = runs.filter(({ reinstall_id }) => reinstall_id === row.id);
  const foreign = runs.filter((run) => {
    return run.reinstall_id !== row.id && (run.reinstall_id !== null || run.started_at < row.created_at);
  });
  const previousBootInfo = parseStoredBootInfo(row.previous_boot_info);
  const previousRunId = previousBootInfo?.run_id; // of the run that installed the old OS, where that says so
  const facts: ReinstallFacts = {
    state: row.state,
    target: row.target,
    attempt: row.attempt,
    mostAttempts: row.most_attempts,
    nextAttemptAtMs: row.next_attempt_at,
    runId: row.run_id,
    runTarget: own.find(({ id }) => id === row.run_id)?.target ?? "untouched",
    earlierRunIds: own.map(({ id }) => id).filter((id) => id !== row.run_id),
    disbelievedRunIds: own.filter(({ verdict }) => verdict === "unverified").map(({ id }) => id),
    foreignRunIds: [...foreign.map(({ id }) => id), ...(typeof previousRunId === "string" ? [previousRunId] : [])],
    image: await readImage(db, row.image_id),
    previousBootInfo,
  };
  return { row, facts };
}

async function readImage(db: Kysely<Tables>, id: string): Promise<Image> {
  const row = await db.selectFrom("images").selectAll().where("id", "=", id).executeTakeFirst();
  return imageSchema.parse(row ?? { id }); // an image that was deleted since is still known by its name
}

export function parseStoredBootInfo(text: string | null): WireBootInfo | null {
  return text === null ? null : bootInfoSchema.parse(JSON.parse(text));
}

/**
 * Carries a decision out: the reinstallation, the machine's image and boot info, and what its next network boot gets, all
 * in the caller's transaction, which has locked the machine. The mark falls last.
 * @param proven what a verified report has shown to be on the disk.
 */
export async function applyTransition(
  scope: WriteScope,
  machine: MachineRow,
  { row, facts }: OpenReinstall,
  to: Transition,
  proven: { readonly imageId: string; readonly bootInfo: WireBootInfo | null } | null = null,
): Promise<void> {
  const { db } = scope;
  if (to.runId !== null) {
    // The run is this reinstallation's from now on, also where nothing has been heard of it yet.
    await db
      .insertInto("runs")
      .values({
        id: to.runId,
        machine_id: machine.id,
        reinstall_id: row.id,
        attempt: to.attempt,
        started_at: scope.nowMs,
        target: "untouched",
        last_seq: 0,
      })
      .onConflict((conflict) => conflict.column("id").doUpdateSet({ reinstall_id: row.id, attempt: to.attempt }))
      .execute();
    await requireOwnRuns(scope, [{ id: to.runId, machine_id: machine.id }]);
    await db.updateTable("machines").set({ last_run_id: to.runId }).where("id", "=", machine.id).execute();
  }
  const boot = bootInState(to.state);
  if (boot !== bootInState(facts.state) || isEnded(to.state)) {
    if (boot === "rescue") await setDeployment(scope, machine.id, await rescueDeployment(scope));
    if (boot === "local") await setDeployment(scope, machine.id, bootLocal);
  }
  if (to.state === "running" || to.state === "waiting")
    await allowBoots(scope, machine.id, row.most_attempts - to.attempt);
  if (to.state === "succeeded" && proven !== null) {
    const bootInfo = proven.bootInfo === null ? null : JSON.stringify(proven.bootInfo);
    const known = { image_id: proven.imageId, boot_info: bootInfo };
    await db.updateTable("machines").set(known).where("id", "=", machine.id).execute();
  }
  if (to.state === "aborted") {
    const old = { image_id: row.previous_image_id, boot_info: row.previous_boot_info };
    await db.updateTable("machines").set(old).where("id", "=", machine.id).execute();
  }
  await db
    .updateTable("reinstalls")
    .set({
      state: to.state,
      target: to.target,
      attempt: to.attempt,
      run_id: to.runId,
      next_attempt_at: to.nextAttemptAtMs,
      reason: to.reason,
      ended_at: isEnded(to.state) ? scope.nowMs : null,
    })
    .where("id", "=", row.id)
    .execute();
  scope.changed(machine.id);
  if (to.state !== facts.state) {
    const detail = { from: facts.state, to: to.state, attempt: to.attempt, target: to.target, reason: to.reason };
    await scope.audit(`reinstall.${to.state}`, `machine:${machine.id}`, detail);
  }
}

/** A run was heard of: it is the machine's last one, unless another one is under way that was told to reinstall it. */
export async function noteLastRun(scope: WriteScope, machineId: string, runId: string): Promise<void> {
  const underWay = scope.db
    .selectFrom("reinstalls")
    .select("id")
    .where("machine_id", "=", machineId)
    .where("ended_at", "is", null)
    .where("state", "in", ["running", "writing"])
    .where("run_id", "!=", runId);
  await scope.db
    .updateTable("machines")
    .set({ last_run_id: runId })
    .where("id", "=", machineId)
    .where((where) => where.not(where.exists(underWay)))
    .execute();
}

/** The machine has called: its network boots are counted anew, by the attempts that are left. One is needed to be told to stop. */
async function allowBoots(scope: WriteScope, machineId: string, attemptsLeft: number): Promise<void> {
  await scope.db
    .updateTable("deployments")
    .set({ id: randomUUID(), configuration: REINSTALL, boots: Math.max(1, attemptsLeft), afterwards: LOCAL })
    .where("machine_id", "=", machineId)
    .where("by_operator", "=", 0)
    .execute();
}
