/** What operators do with reinstallations: request, cancel, try again. */
import { randomUUID } from "node:crypto";
import { ReimageError } from "../../../errors.ts";
import { LOCAL, REINSTALL } from "../../protocol/boot.ts";
import type { Reinstall, RequestReinstall } from "../../protocol/reinstall.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import type { MachineRow, ReinstallRow } from "../database/tables.ts";
import { bootLocal, setDeployment } from "./deployment.ts";
import { applyTransition, readOpenReinstall } from "./open-reinstall.ts";
import { isoTime } from "./time.ts";

/** @throws ReimageError `not-found` */
export async function requireMachine(scope: WriteScope, id: string): Promise<MachineRow> {
  const machine = await scope.lockMachine(id);
  if (machine === null) throw new ReimageError("not-found", `there is no machine ${id}`);
  return machine;
}

/**
 * Marks a machine to be reinstalled, and lets its network boots lead into the reimager. Where an earlier reinstallation is
 * parked, this one takes its place, and what is known of the disk stays known.
 * @param idempotencyKey the same key again gets the same reinstallation.
 * @returns `isNew` false where the key was known.
 * @throws ReimageError `not-found` for the machine or the image; `conflict` where it is marked already, locked, or not
 * approved.
 */
export async function requestReinstall(
  store: Store,
  actor: Actor,
  machineId: string,
  request: RequestReinstall,
  idempotencyKey: string | null,
): Promise<{ readonly reinstall: Reinstall; readonly isNew: boolean }> {
  return await store.write(actor, async (scope) => {
    const { db } = scope;
    const machine = await requireMachine(scope, machineId);
    if (idempotencyKey !== null) {
      const known = await db
        .selectFrom("reinstalls")
        .selectAll()
        .where("machine_id", "=", machineId)
        .where("idempotency_key", "=", idempotencyKey)
        .executeTakeFirst();
      if (known !== undefined) return { reinstall: asReinstall(known), isNew: false };
    }
    const parked = await refuseUnfit(scope, machine, request);
    if (parked !== null) {
      const reason = `replaced by a reinstallation with ${request.imageId}; ${parked.reason ?? "it was parked"}`;
      await db.updateTable("reinstalls").set({ ended_at: scope.nowMs, reason }).where("id", "=", parked.id).execute();
    }
    const row: ReinstallRow = {
      id: randomUUID(),
      machine_id: machineId,
      image_id: request.imageId,
      state: "requested",
      target: parked?.target ?? "untouched",
      attempt: 0,
      most_attempts: request.mostAttempts,
      next_attempt_at: null,
      run_id: null,
      previous_image_id: parked === null ? machine.image_id : parked.previous_image_id,
      previous_boot_info: parked === null ? machine.boot_info : parked.previous_boot_info,
      reason: request.reason === "" ? null : request.reason,
      requested_by: actor.name,
      idempotency_key: idempotencyKey,
      power_job_id: null,
      created_at: scope.nowMs,
      ended_at: null,
    };
    await db.insertInto("reinstalls").values(row).execute();
    await setDeployment(scope, machineId, reinstallDeployment(request.mostAttempts));
    await scope.audit("reinstall.requested", `machine:${machineId}`, { imageId: request.imageId, reinstallId: row.id });
    return { reinstall: asReinstall(row), isNew: true };
  });
}

/** So many network boots as attempts, then the disk: a machine that never calls back does not loop. */
function reinstallDeployment(mostAttempts: number) {
  return { configuration: REINSTALL, boots: mostAttempts, afterwards: LOCAL, isByOperator: false };
}

/** @returns the parked reinstallation that the new one takes the place of; null where there is none. */
async function refuseUnfit(
  scope: WriteScope,
  machine: MachineRow,
  request: RequestReinstall,
): Promise<ReinstallRow | null> {
  const open = await readOpenReinstall(scope.db, machine.id);
  if (open !== null && open.row.state !== "parked") {
    throw new ReimageError("conflict", `machine ${machine.id} is being reinstalled already (${open.row.state})`, {
      hint: "wait for it, cancel it, or try it again where it is parked or its report is missing",
    });
  }
  if (machine.locked === 1) throw new ReimageError("conflict", `machine ${machine.id} is locked`);
  if (machine.state === "discovered") {
    throw new ReimageError("conflict", `machine ${machine.id} has only been discovered: nobody has approved it`, {
      hint: "compare its fingerprint, and approve it",
    });
  }
  const image = await scope.db.selectFrom("images").select("id").where("id", "=", request.imageId).executeTakeFirst();
  if (image === undefined) throw new ReimageError("not-found", `there is no image ${request.imageId}`);
  return open?.row ?? null;
}

/**
 * Takes a reinstallation back whose disk is untouched, as the machine's own abort would.
 * @throws ReimageError `not-found`, `conflict` where the disk was touched: then only a reinstallation mends it.
 */
export async function cancelReinstall(store: Store, actor: Actor, id: string): Promise<Reinstall> {
  return await changeOpen(store, actor, id, async (scope, machine, open) => {
    if (open.facts.target !== "untouched" || open.facts.state === "running") {
      const why =
        open.facts.target === "untouched"
          ? "a run is under way and may begin to write at any moment"
          : `the disk is ${open.facts.target}`;
      throw new ReimageError("conflict", `the reinstallation of machine ${machine.id} cannot be cancelled: ${why}`, {
        hint: "abort it on the machine (`reimage abort`), or let it end",
      });
    }
    const { attempt, runId } = open.facts;
    await applyTransition(scope, machine, open, {
      state: "aborted",
      target: "untouched",
      attempt,
      runId,
      nextAttemptAtMs: null,
      reason: `cancelled by ${actor.name}`,
    });
  });
}

/**
 * Gives a reinstallation its attempts again that is parked, or whose report never comes: then that report is not waited for
 * any more. @throws ReimageError `not-found`, `conflict` where it may come to its end by itself.
 */
export async function retryReinstall(store: Store, actor: Actor, id: string): Promise<Reinstall> {
  return await changeOpen(store, actor, id, async (scope, machine, open) => {
    const { state, runId } = open.facts;
    if (state !== "parked" && state !== "unreported") {
      const message = `the reinstallation of machine ${machine.id} is ${state}, not parked, and its report is not missing`;
      throw new ReimageError("conflict", message);
    }
    if (state === "unreported" && runId !== null) {
      const given = { verdict: "unverified" as const, reason: `${actor.name} has it done again` };
      await scope.db.updateTable("runs").set(given).where("id", "=", runId).execute();
    }
    const { target } = open.facts;
    const to = { state: "requested", target, attempt: 0, runId: null, nextAttemptAtMs: null, reason: null } as const;
    await applyTransition(scope, machine, open, to);
    await setDeployment(scope, machine.id, reinstallDeployment(open.facts.mostAttempts));
  });
}

/** Lets the next network boots of a machine lead to its disk, whatever was deployed. @throws ReimageError `not-found` */
export async function bootFromDisk(store: Store, actor: Actor, machineId: string): Promise<void> {
  await store.write(actor, async (scope) => {
    await requireMachine(scope, machineId);
    await setDeployment(scope, machineId, { ...bootLocal, isByOperator: true });
    await scope.audit("boot.local", `machine:${machineId}`);
  });
}

async function changeOpen(
  store: Store,
  actor: Actor,
  id: string,
  run: (
    scope: WriteScope,
    machine: MachineRow,
    open: NonNullable<Awaited<ReturnType<typeof readOpenReinstall>>>,
  ) => Promise<void>,
): Promise<Reinstall> {
  return await store.write(actor, async (scope) => {
    const named = await scope.db.selectFrom("reinstalls").select("machine_id").where("id", "=", id).executeTakeFirst();
    if (named === undefined) throw new ReimageError("not-found", `there is no reinstallation ${id}`);
    const machine = await requireMachine(scope, named.machine_id);
    const open = await readOpenReinstall(scope.db, machine.id);
    if (open === null || open.row.id !== id) throw new ReimageError("conflict", `reinstallation ${id} has ended`);
    await run(scope, machine, open);
    const row = await scope.db.selectFrom("reinstalls").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
    return asReinstall(row);
  });
}

/** @returns the newest first. */
export async function listReinstalls(store: Store, machineId: string): Promise<Reinstall[]> {
  const query = store.db.selectFrom("reinstalls").selectAll().where("machine_id", "=", machineId);
  return (await query.orderBy("created_at", "desc").limit(100).execute()).map(asReinstall);
}

export function asReinstall(row: ReinstallRow): Reinstall {
  return {
    id: row.id,
    machineId: row.machine_id,
    imageId: row.image_id,
    state: row.state,
    target: row.target,
    attempt: row.attempt,
    mostAttempts: row.most_attempts,
    nextAttemptAt: isoTime(row.next_attempt_at),
    runId: row.run_id,
    reason: row.reason,
    requestedBy: row.requested_by,
    createdAt: isoTime(row.created_at),
    endedAt: isoTime(row.ended_at),
    powerJobId: row.power_job_id,
  };
}
