/**
 * What the next network boot of a machine will get, told beforehand: for boot loaders that read a file and ask nobody. The
 * same decisions as for those that ask; only the counting comes afterwards, when the file was read.
 */
import { LOCAL, REINSTALL, RESCUE } from "../../protocol/boot.ts";
import type { Actor, Store } from "../database/store.ts";
import type { Tables } from "../database/tables.ts";
import { decideNetboot } from "../decisions/netboot.ts";
import { asFacts, isUsedUp, takeBoot } from "./boot.ts";
import { findMachine } from "./machine-list.ts";
import { readOpenReinstall } from "./open-reinstall.ts";
import { requireMachine } from "./reinstalls.ts";

/** What one machine is to find. */
export interface ProjectedBoot {
  readonly machineId: string;
  readonly macs: readonly string[];
  /** Null: nothing was ever deployed for it, or there is no such machine (any more). */
  readonly boot: {
    readonly configuration: string;
    /** Whether a reinstallation leads to it: then the machine must ask before it writes. */
    readonly isReinstall: boolean;
    /** The name of this one boot, where reading it changes what comes next; null: until something else is deployed. */
    readonly bootId: string | null;
  } | null;
}

/** @param ids null: all machines. One that is gone is told of without MACs. */
export async function projectBoots(
  store: Pick<Store, "db" | "now">,
  ids: readonly string[] | null,
): Promise<ProjectedBoot[]> {
  const { db } = store;
  const within = ids === null ? null : ids.length === 0 ? [""] : [...ids];
  let cards = db.selectFrom("macs").selectAll().orderBy("machine_id").orderBy("position");
  let deployed = db.selectFrom("deployments").selectAll();
  let reinstalls = db
    .selectFrom("reinstalls")
    .innerJoin("machines", "machines.id", "reinstalls.machine_id")
    .select("machine_id")
    .where("ended_at", "is", null)
    .where("locked", "=", 0);
  if (within !== null) {
    cards = cards.where("machine_id", "in", within);
    deployed = deployed.where("machine_id", "in", within);
    reinstalls = reinstalls.where("machine_id", "in", within);
  }
  const macs = new Map<string, string[]>();
  for (const { mac, machine_id } of await cards.execute()) macs.set(machine_id, [...(macs.get(machine_id) ?? []), mac]);
  const deployments = new Map((await deployed.execute()).map((row) => [row.machine_id, row]));
  const wanted = new Set((await reinstalls.execute()).map((row) => row.machine_id));
  const projected: ProjectedBoot[] = [];
  for (const machineId of ids ?? macs.keys()) {
    const row = deployments.get(machineId);
    const boot = row === undefined ? null : await projectBoot(store, row, wanted.has(machineId));
    projected.push({ machineId, macs: macs.get(machineId) ?? [], boot });
  }
  return projected;
}

async function projectBoot(
  { db, now }: Pick<Store, "db" | "now">,
  row: Tables["deployments"],
  isWanted: boolean,
): Promise<NonNullable<ProjectedBoot["boot"]>> {
  const deployment = { ...asFacts(row), answeredAtMs: null }; // whoever reads the file next boots anew
  const decision = decideNetboot(deployment, isWanted, now());
  const open = isWanted ? await readOpenReinstall(db, row.machine_id) : null;
  if (open !== null && isUsedUp(open, deployment, decision)) {
    const rescue = db.selectFrom("boot_configurations").select("name").where("name", "=", RESCUE);
    const configuration = (await rescue.executeTakeFirst())?.name ?? LOCAL;
    return { configuration, isReinstall: false, bootId: `${row.id}-used-up` };
  }
  const { configuration } = decision;
  const isReinstall = isWanted && !deployment.isByOperator && configuration === REINSTALL;
  const isCounted = deployment.boots !== null && decision.next !== null;
  return { configuration, isReinstall, bootId: isCounted ? `${row.id}-${deployment.boots}` : null };
}

/**
 * A machine has read what it was to boot once: counts that boot, unless it was counted or something else was deployed since.
 * @returns the machine; null where no machine has that MAC (any more).
 */
export async function takeProjectedBoot(
  store: Store,
  actor: Actor,
  mac: string,
  bootId: string,
): Promise<string | null> {
  return await store.write(actor, async (scope) => {
    const machineId = await findMachine(scope, mac);
    if (machineId === null) return null;
    await requireMachine(scope, machineId);
    const [projected] = await projectBoots({ db: scope.db, now: () => scope.nowMs }, [machineId]);
    if (projected?.boot?.bootId !== bootId) return machineId;
    // It has been seen to be another boot: the last answer does not hold for it.
    const forgotten = { answered_at: null, answered_configuration: null };
    await scope.db.updateTable("deployments").set(forgotten).where("machine_id", "=", machineId).execute();
    await takeBoot(scope, machineId);
    return machineId;
  });
}
