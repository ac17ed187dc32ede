/** Registration: what a machine says of its hardware. Who is not known by now is discovered. */
import { ReimageError } from "../../../../errors.ts";
import { machineIdSchema } from "../../../protocol/identity.ts";
import type { Actor, Store, WriteScope } from "../../database/store.ts";
import type { MachineRow } from "../../database/tables.ts";
import { refuseCrowd } from "../../operations/enrolment.ts";
import { putMachine } from "../../operations/machines.ts";
import { hardwareOf, macsOf, type Registration } from "./bodies.ts";
import { changeMetalFacts, parseMetalFacts } from "./facts.ts";
import { isAllocated } from "./read.ts";
import { beginAttempt } from "./word.ts";

/**
 * Keeps what a machine says of itself; where it is marked, an attempt begins.
 * @returns whether it was unknown.
 * @throws ReimageError `invalid` for an id that is no UUID; `conflict` for a machine with somebody's OS on it that nobody
 * wants reinstalled: metal-hammer would wipe every disk of it; `too-many`.
 */
export async function registerMachine(
  store: Store,
  actor: Actor,
  id: string,
  body: Registration,
): Promise<{ readonly isNew: boolean }> {
  const machineId = requireUuid(id);
  const { isNew, refusal } = await store.write(actor, async (scope) => {
    const machine = await scope.lockMachine(machineId);
    if (machine === null) await refuseCrowd(scope);
    await keepRegistration(scope, machineId, machine, body);
    const row = machine ?? (await scope.lockMachine(machineId));
    const isWanted = row === null || !(await isAllocated(scope, row));
    const refusal = isWanted ? null : await beginAttempt(scope, machineId);
    return { isNew: machine === null, refusal }; // not thrown in here: what was decided stays decided
  });
  if (refusal === null) return { isNew };
  throw new ReimageError("conflict", `machine ${machineId} must not be written: ${refusal}`);
}

/** A machine that nobody knows, and that has only sent an event. */
export async function discoverMachine(scope: WriteScope, id: string): Promise<string> {
  const machineId = requireUuid(id);
  if ((await scope.lockMachine(machineId)) !== null) return machineId;
  await refuseCrowd(scope);
  await putMachine(scope, machineId, { state: "discovered", address: scope.actor.address });
  await scope.audit("machine.discovered", `machine:${machineId}`);
  return machineId;
}

function requireUuid(id: string): string {
  const result = machineIdSchema.safeParse(id);
  if (!result.success) throw new ReimageError("invalid", `${JSON.stringify(id.slice(0, 64))} is no UUID`);
  return result.data;
}

async function keepRegistration(
  scope: WriteScope,
  machineId: string,
  machine: MachineRow | null,
  body: Registration,
): Promise<void> {
  const hardware = hardwareOf(body);
  const macs = macsOf(body);
  if (machine === null) {
    await putMachine(scope, machineId, { state: "discovered", macs, hardware, address: scope.actor.address });
    await scope.audit("machine.discovered", `machine:${machineId}`, { macs });
  } else if (machine.state !== "approved") {
    // The cards of a machine that somebody has named stay as he has named them.
    const known = await scope.db
      .selectFrom("macs")
      .select("mac")
      .where("machine_id", "=", machineId)
      .executeTakeFirst();
    await putMachine(scope, machineId, { hardware, ...(known === undefined ? { macs } : {}) });
  }
  const { facade } = machine ?? { facade: null };
  const before = parseMetalFacts(facade);
  const { partitionid, rackid, tags, bios, ipmi } = body;
  await changeMetalFacts(scope, machineId, {
    hardware,
    partitionId: partitionid || before.partitionId,
    rackId: rackid || before.rackId,
    tags: tags ?? before.tags,
    bios: bios ?? before.bios,
    ipmi: ipmi == null ? before.ipmi : ipmiOf(ipmi),
  });
}

/** Without its password. */
function ipmiOf({ address, mac, user, interface: port }: NonNullable<Registration["ipmi"]>): Record<string, string> {
  return { address, mac, user, interface: port };
}
