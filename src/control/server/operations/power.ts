/** Power jobs: begun here, kept in the database, done by a bounded pool of commands. */
import { randomUUID } from "node:crypto";
import { asReimageError, describeError, ReimageError } from "../../../errors.ts";
import type { PowerJob } from "../../protocol/power.ts";
import type { Actor, Store } from "../database/store.ts";
import type { Tables } from "../database/tables.ts";
import type { PowerAction, PowerAdapter } from "../power/adapter.ts";
import type { PowerQueue } from "../power/jobs.ts";
import { SERVE } from "./actor.ts";
import { isoTime } from "./time.ts";

/** Switches machines. */
export interface PowerService {
  /** @throws ReimageError `not-found`; `conflict` where the machine has no adapter, or one that is not configured here. */
  requireAdapter(machineId: string): Promise<void>;
  /** @throws ReimageError as `requireAdapter` */
  submit(actor: Actor, machineId: string, action: PowerAction): Promise<PowerJob>;
  /** Lets a machine boot from the network now. @param reinstallId what it is for. @throws ReimageError as `requireAdapter` */
  bootFromNetwork(actor: Actor, machineId: string, reinstallId: string | null): Promise<PowerJob>;
}

/** @param onError told of what befell the record of a job. */
export function createPowerService(
  store: Store,
  adapters: readonly PowerAdapter[],
  queue: PowerQueue,
  onError: (error: unknown) => void,
): PowerService {
  async function find(machineId: string) {
    const row = await store.db.selectFrom("machines").select("power").where("id", "=", machineId).executeTakeFirst();
    if (row === undefined) throw new ReimageError("not-found", `there is no machine ${machineId}`);
    if (row.power === null) {
      throw new ReimageError("conflict", `machine ${machineId} has no power adapter`, {
        hint: "name one in the hosts file, under `power`",
      });
    }
    const { adapter: name, variables } = JSON.parse(row.power) as {
      adapter: string;
      variables: Record<string, string>;
    };
    const adapter = adapters.find((each) => each.name === name);
    if (adapter === undefined) {
      throw new ReimageError(
        "conflict",
        `machine ${machineId} wants the power adapter ${name}, which is not configured`,
      );
    }
    return { adapter, variables: { ...variables, machine: machineId } };
  }

  async function begin(
    actor: Actor,
    machineId: string,
    action: PowerAction | "boot-from-network",
    reinstallId: string | null,
  ): Promise<PowerJob> {
    const { adapter, variables } = await find(machineId);
    const id = randomUUID();
    const row = await store.write(actor, async ({ db, nowMs, audit }) => {
      const made: Tables["power_jobs"] = {
        id,
        machine_id: machineId,
        action,
        state: "queued",
        power: null,
        message: null,
        created_at: nowMs,
        ended_at: null,
      };
      await db.insertInto("power_jobs").values(made).execute();
      if (reinstallId !== null) {
        await db.updateTable("reinstalls").set({ power_job_id: id }).where("id", "=", reinstallId).execute();
      }
      await audit(`power.${action}`, `machine:${machineId}`, { jobId: id });
      return made;
    });
    const job = queue.submit({ adapter, action, variables });
    void job.outcome.then((outcome) => keepOutcome(id, machineId, outcome)).catch(onError);
    return asPowerJob(row);
  }

  async function keepOutcome(
    id: string,
    machineId: string,
    outcome: Awaited<ReturnType<PowerQueue["submit"]>["outcome"]>,
  ) {
    await store.write(SERVE, async ({ db, nowMs, changed, audit }) => {
      const end = outcome.ok
        ? { state: "done" as const, power: outcome.result.power, message: outcome.result.output || null }
        : { state: "failed" as const, power: null, message: messageOf(outcome.error) };
      await db
        .updateTable("power_jobs")
        .set({ ...end, ended_at: nowMs })
        .where("id", "=", id)
        .execute();
      if (!outcome.ok) await audit("power.failed", `machine:${machineId}`, { jobId: id, message: end.message });
      changed(machineId);
    });
  }

  return {
    requireAdapter: async (machineId) => void (await find(machineId)),
    submit: (actor, machineId, action) => begin(actor, machineId, action, null),
    bootFromNetwork: (actor, machineId, reinstallId) => begin(actor, machineId, "boot-from-network", reinstallId),
  };
}

function messageOf(thrown: unknown): string {
  const error = asReimageError(thrown);
  return error.hint === undefined ? describeError(error) : `${describeError(error)} (${error.hint})`;
}

/** @throws ReimageError `not-found` */
export async function readPowerJob(store: Store, id: string): Promise<PowerJob> {
  const row = await store.db.selectFrom("power_jobs").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw new ReimageError("not-found", `there is no power job ${id}`);
  return asPowerJob(row);
}

/** Jobs that a process left behind when it died: nobody knows how far their commands came. */
export async function failForgottenJobs(store: Store, olderThanMs: number): Promise<void> {
  await store.write(SERVE, async ({ db, nowMs }) => {
    await db
      .updateTable("power_jobs")
      .set({ state: "failed", message: "the endpoint was stopped meanwhile; look at the machine", ended_at: nowMs })
      .where("ended_at", "is", null)
      .where("created_at", "<", nowMs - olderThanMs)
      .execute();
  });
}

function asPowerJob(row: Tables["power_jobs"]): PowerJob {
  return {
    id: row.id,
    machineId: row.machine_id,
    action: row.action,
    state: row.state,
    power: row.power,
    message: row.message,
    createdAt: isoTime(row.created_at),
    endedAt: isoTime(row.ended_at),
  };
}
