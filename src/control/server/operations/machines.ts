/** Machines: declared, changed, removed. */
import { ReimageError } from "../../../errors.ts";
import type { machineStates, WireBootInfo } from "../../protocol/machine.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import type { MachineRow } from "../database/tables.ts";
import { requireMachine } from "./reinstalls.ts";

/** What can be said of a machine that is there, or is to be. What is left out stays as it is. */
export interface MachineFacts {
  readonly name?: string | null | undefined;
  readonly macs?: readonly string[] | undefined;
  readonly serial?: string | null | undefined;
  readonly imageId?: string | undefined;
  readonly locked?: boolean | undefined;
  readonly state?: (typeof machineStates)[number] | undefined;
  readonly hardware?: Readonly<Record<string, unknown>> | null | undefined;
  readonly bootInfo?: WireBootInfo | null | undefined;
  readonly power?: Readonly<Record<string, unknown>> | null | undefined;
  readonly address?: string | null | undefined;
}

/** @throws ReimageError `conflict` where the id, the name or a MAC is taken. */
export async function declareMachine(store: Store, actor: Actor, id: string, facts: MachineFacts): Promise<void> {
  await store.write(actor, async (scope) => {
    if ((await scope.lockMachine(id)) !== null) throw new ReimageError("conflict", `there is a machine ${id} already`);
    await putMachine(scope, id, facts);
    await scope.audit("machine.declared", `machine:${id}`, { name: facts.name ?? null });
  });
}

/** @throws ReimageError `not-found`, `conflict` */
export async function changeMachine(store: Store, actor: Actor, id: string, facts: MachineFacts): Promise<void> {
  await store.write(actor, async (scope) => {
    await requireMachine(scope, id);
    await putMachine(scope, id, facts);
    const { power: _secret, ...told } = facts;
    await scope.audit("machine.changed", `machine:${id}`, told);
  });
}

/** Of a machine that has said nothing for so long nobody knows whether its run still lives. */
const SILENT_MILLISECONDS = 3_600_000;

/**
 * Forgets a machine with all its runs.
 * @throws ReimageError `not-found`; `conflict` while it is being reinstalled, unless it has fallen silent.
 */
export async function removeMachine(store: Store, actor: Actor, id: string): Promise<void> {
  await store.write(actor, async (scope) => {
    await requireMachine(scope, id);
    const open = scope.db
      .selectFrom("reinstalls")
      .select("state")
      .where("machine_id", "=", id)
      .where("ended_at", "is", null);
    const row = await open.executeTakeFirst();
    if (row !== undefined && row.state !== "requested" && row.state !== "parked" && !(await isSilent(scope, id))) {
      throw new ReimageError("conflict", `machine ${id} is being reinstalled (${row.state})`, {
        hint: "wait for its end; one that has said nothing for an hour can be removed",
      });
    }
    await scope.db.deleteFrom("machines").where("id", "=", id).execute();
    await scope.audit("machine.removed", `machine:${id}`);
    scope.changed(id);
  });
}

async function isSilent({ db, nowMs }: WriteScope, id: string): Promise<boolean> {
  const presence = await db.selectFrom("presence").select("seen_at").where("machine_id", "=", id).executeTakeFirst();
  return presence === undefined || nowMs - presence.seen_at > SILENT_MILLISECONDS;
}

/** Writes what is said of a machine, which is made where there is none; the caller has looked at it under the lock. */
export async function putMachine(scope: WriteScope, id: string, facts: MachineFacts): Promise<void> {
  const { db } = scope;
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  const { name, serial, imageId, locked, state, hardware, bootInfo, power, address } = facts;
  if (name !== undefined && name !== null) await refuseTakenName(scope, id, name);
  const row: Partial<Omit<MachineRow, "id">> = {
    ...(name === undefined ? {} : { name }),
    ...(serial === undefined ? {} : { serial }),
    ...(imageId === undefined ? {} : { image_id: imageId }),
    ...(locked === undefined ? {} : { locked: locked ? 1 : 0 }),
    ...(state === undefined ? {} : { state }),
    ...(hardware === undefined ? {} : { hardware: json(hardware) }),
    ...(bootInfo === undefined ? {} : { boot_info: json(bootInfo) }),
    ...(power === undefined ? {} : { power: json(power) }),
    ...(address === undefined ? {} : { address }),
  };
  await db
    .insertInto("machines")
    .values({ id, state: "declared", locked: 0, created_at: scope.nowMs, ...row })
    .onConflict((conflict) => {
      const column = conflict.column("id");
      return Object.keys(row).length === 0 ? column.doNothing() : column.doUpdateSet(row);
    })
    .execute();
  if (facts.macs !== undefined) await putMacs(scope, id, facts.macs);
  scope.changed(id);
}

async function refuseTakenName(scope: WriteScope, id: string, name: string): Promise<void> {
  const query = scope.db.selectFrom("machines").select("id").where("name", "=", name).where("id", "!=", id);
  const other = await query.executeTakeFirst();
  if (other !== undefined) throw new ReimageError("conflict", `machine ${other.id} is called ${name} already`);
}

async function putMacs(scope: WriteScope, id: string, macs: readonly string[]): Promise<void> {
  const { db } = scope;
  const own = [...new Set(macs)];
  const taken = await db
    .selectFrom("macs")
    .selectAll()
    .where("mac", "in", own.length === 0 ? [""] : own)
    .where("machine_id", "!=", id)
    .executeTakeFirst();
  if (taken !== undefined) throw new ReimageError("conflict", `${taken.mac} is a card of machine ${taken.machine_id}`);
  await db.deleteFrom("macs").where("machine_id", "=", id).execute();
  const rows = own.map((mac, position) => ({ mac, machine_id: id, position }));
  if (rows.length > 0) await db.insertInto("macs").values(rows).execute();
}
