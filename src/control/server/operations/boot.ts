/** Boot configurations: kept, deployed, and handed to machines that boot from the network. */
import { ReimageError } from "../../../errors.ts";
import {
  type BootConfiguration,
  bootConfigurationSchema,
  type Deploy,
  type Deployment,
  LOCAL,
  REINSTALL,
} from "../../protocol/boot.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import type { DeploymentRow } from "../database/tables.ts";
import { type DeploymentFacts, decideNetboot, type NetbootDecision } from "../decisions/netboot.ts";
import { bootInState } from "../decisions/reinstall-facts.ts";
import { setDeployment } from "./deployment.ts";
import { findMachine } from "./machine-list.ts";
import { applyTransition, type OpenReinstall, readOpenReinstall } from "./open-reinstall.ts";
import { requireMachine } from "./reinstalls.ts";

const local: BootConfiguration = { name: LOCAL, kind: "local" };

/** All of them, in the order of their names; `local` is always there. */
export async function listConfigurations(store: Pick<Store, "db">): Promise<BootConfiguration[]> {
  const rows = await store.db.selectFrom("boot_configurations").select("body").execute();
  const stored = rows.map(({ body }) => bootConfigurationSchema.parse(JSON.parse(body)));
  const all = stored.some(({ name }) => name === LOCAL) ? stored : [...stored, local];
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Null where there is none of that name. */
export async function readConfiguration(store: Pick<Store, "db">, name: string): Promise<BootConfiguration | null> {
  const query = store.db.selectFrom("boot_configurations").select("body").where("name", "=", name);
  const row = await query.executeTakeFirst();
  if (row === undefined) return name === LOCAL ? local : null;
  return bootConfigurationSchema.parse(JSON.parse(row.body));
}

export async function putConfiguration(store: Store, actor: Actor, configuration: BootConfiguration): Promise<void> {
  await store.write(actor, async (scope) => {
    const body = JSON.stringify(configuration);
    await scope.db
      .insertInto("boot_configurations")
      .values({ name: configuration.name, body })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ body }))
      .execute();
    await scope.audit("configuration.put", `configuration:${configuration.name}`, { kind: configuration.kind });
  });
}

/** @throws ReimageError `not-found`; `conflict` where it is deployed. */
export async function removeConfiguration(store: Store, actor: Actor, name: string): Promise<void> {
  await store.write(actor, async ({ db, audit }) => {
    const used = await db
      .selectFrom("deployments")
      .select("machine_id")
      .where((where) => where.or([where("configuration", "=", name), where("afterwards", "=", name)]))
      .executeTakeFirst();
    if (used !== undefined) {
      throw new ReimageError("conflict", `boot configuration ${name} is deployed for machine ${used.machine_id}`);
    }
    const { numDeletedRows } = await db.deleteFrom("boot_configurations").where("name", "=", name).executeTakeFirst();
    if (numDeletedRows === 0n) throw new ReimageError("not-found", `there is no boot configuration ${name}`);
    await audit("configuration.removed", `configuration:${name}`);
  });
}

/**
 * Deploys a configuration for several machines: for all of them or, where one cannot be switched, for none. The reimager is
 * for one boot where nobody says for how many: it would overwrite the disk at each.
 * @throws ReimageError `not-found` naming the machine or the configuration; `conflict` for a machine that is named twice.
 */
export async function deploy(store: Store, actor: Actor, name: string, request: Deploy): Promise<Deployment[]> {
  return await store.write(actor, async (scope) => {
    for (const each of [name, request.afterwards]) await requireConfiguration(scope, each);
    const named = new Map<string, string>();
    for (const reference of request.machines) {
      const id = await findMachine(scope, reference);
      if (id === null) throw new ReimageError("not-found", `there is no machine ${reference}`);
      const before = named.get(id);
      if (before !== undefined) throw new ReimageError("conflict", `${before} and ${reference} are the same machine`);
      named.set(id, reference);
    }
    const deployments: Deployment[] = [];
    for (const id of [...named.keys()].sort()) {
      await requireMachine(scope, id);
      const { afterwards } = request;
      const boots = request.boots ?? (name === REINSTALL ? 1 : null);
      await setDeployment(scope, id, { configuration: name, boots, afterwards, isByOperator: true });
      await scope.audit("configuration.deployed", `machine:${id}`, { configuration: name, boots, afterwards });
      deployments.push({ machineId: id, configuration: name, boots, afterwards });
    }
    return deployments;
  });
}

async function requireConfiguration(scope: WriteScope, name: string): Promise<void> {
  if ((await readConfiguration(scope, name)) === null) {
    throw new ReimageError("not-found", `there is no boot configuration ${name}`);
  }
}

/** What a machine gets that boots from the network now. */
export interface NetbootAnswer {
  readonly machineId: string;
  readonly configuration: BootConfiguration;
  /** Whether a reinstallation leads to it: then the machine must ask before it writes. */
  readonly isReinstall: boolean;
}

/**
 * Answers a machine that boots from the network, and counts this boot. What is deployed and not defined (any more) means
 * the disk.
 * @returns null for a machine that nobody knows.
 */
export async function answerNetboot(store: Store, actor: Actor, reference: string): Promise<NetbootAnswer | null> {
  return await store.write(actor, async (scope) => {
    const machineId = await findMachine(scope, reference);
    return machineId === null ? null : await takeBoot(scope, machineId);
  });
}

/** A network boot of a machine: what it gets, and what that leaves for the next. */
export async function takeBoot(scope: WriteScope, machineId: string): Promise<NetbootAnswer> {
  const machine = await requireMachine(scope, machineId);
  // A locked machine is not reinstalled: its boots are not counted either.
  const open = machine.locked === 1 ? null : await readOpenReinstall(scope.db, machineId);
  const isWanted = open !== null;
  let deployment = await readDeployment(scope, machineId);
  let decision = decideNetboot(deployment, isWanted, scope.nowMs);
  if (open !== null && isUsedUp(open, deployment, decision)) {
    const { target, attempt, runId, mostAttempts } = open.facts;
    const isDefined = (await readConfiguration(scope, REINSTALL)) !== null;
    const reason = isDefined
      ? `${mostAttempts} network boots have led into the reinstallation, and the machine did not call back`
      : `there is no boot configuration ${REINSTALL}: ${mostAttempts} network boots have led to the disk`;
    const to = { state: "parked", target, attempt, runId, nextAttemptAtMs: null, reason } as const;
    await applyTransition(scope, machine, open, to);
    deployment = await readDeployment(scope, machineId);
    decision = decideNetboot(deployment, isWanted, scope.nowMs);
  }
  const { configuration, next } = decision;
  if (next !== null) await keepDeployment(scope, machineId, next);
  await scope.audit("netboot", `machine:${machineId}`, { configuration });
  scope.changed(machineId);
  const found = (await readConfiguration(scope, configuration)) ?? local;
  const isReinstall = isWanted && deployment?.isByOperator === false && found.name === REINSTALL;
  return { machineId, configuration: found, isReinstall };
}

/** All network boots of a reinstallation were taken that has not come to an end: somebody has to look. */
export function isUsedUp(open: OpenReinstall, deployment: DeploymentFacts | null, decision: NetbootDecision): boolean {
  const isMeant = bootInState(open.facts.state) === "reimage";
  return isMeant && deployment?.isByOperator === false && decision.configuration !== REINSTALL;
}

async function readDeployment(scope: WriteScope, machineId: string): Promise<DeploymentFacts | null> {
  const query = scope.db.selectFrom("deployments").selectAll().where("machine_id", "=", machineId);
  const row = await query.executeTakeFirst();
  return row === undefined ? null : asFacts(row);
}

export function asFacts(row: DeploymentRow): DeploymentFacts {
  return {
    configuration: row.configuration,
    boots: row.boots,
    afterwards: row.afterwards,
    isByOperator: row.by_operator === 1,
    answeredAtMs: row.answered_at,
    answeredConfiguration: row.answered_configuration,
  };
}

async function keepDeployment(scope: WriteScope, machineId: string, next: DeploymentFacts): Promise<void> {
  await scope.db
    .updateTable("deployments")
    .set({
      configuration: next.configuration,
      boots: next.boots,
      afterwards: next.afterwards,
      by_operator: next.isByOperator ? 1 : 0,
      answered_at: next.answeredAtMs,
      answered_configuration: next.answeredConfiguration,
    })
    .where("machine_id", "=", machineId)
    .execute();
}
