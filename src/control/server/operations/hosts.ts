/** A hosts file, applied: all of it in one transaction, or nothing. */
import { sql } from "kysely";
import { ReimageError } from "../../../errors.ts";
import type { Store, WriteScope } from "../database/store.ts";
import { type Hosts, type HostsPlan, type KnownFleet, type MachineChange, planHosts } from "../decisions/hosts.ts";
import { SERVE } from "./actor.ts";
import { listConfigurations } from "./boot.ts";
import { listImages } from "./images.ts";

/** Rows in one statement: the databases take a limited number of values. */
const ROWS = 500;
/** Any number that nothing else in the database locks; ASCII of "hosts". */
const HOSTS_LOCK = 0x686f737473;

/**
 * Loads a hosts file into the database. What is in the database and not in the file stays.
 * @returns what has changed, and what the file leaves out.
 * @throws ReimageError `config` with all conflicts between the file and the machines that it does not name.
 */
export async function applyHosts(store: Store, hosts: Hosts): Promise<HostsPlan> {
  return await store.write(SERVE, async (scope) => {
    // Several serve processes may load the same file at the same time.
    if (scope.dialect === "postgres") await sql`select pg_advisory_xact_lock(${HOSTS_LOCK})`.execute(scope.db);
    const ids = (hosts.machines ?? []).map(({ id }) => id).sort();
    for (const some of chunks(ids)) await scope.lockMachines(some);
    const plan = planHosts(hosts, await readFleet(scope));
    if (plan.problems.length > 0) {
      throw new ReimageError("config", `the hosts file does not fit what is known: ${plan.problems.join("; ")}`, {
        hint: "nothing of it was loaded; name these machines in the file too, or change them",
      });
    }
    await putLibrary(scope, plan);
    await putMachines(scope, plan.machines);
    return plan;
  });
}

async function readFleet(scope: WriteScope): Promise<KnownFleet> {
  const { db } = scope;
  return {
    images: await listImages(scope),
    bootConfigurations: await listConfigurations(scope),
    machines: await db
      .selectFrom("machines")
      .select(["id", "name", "serial", "image_id", "locked", "power"])
      .orderBy("id")
      .execute(),
    macs: await db.selectFrom("macs").select(["mac", "machine_id"]).orderBy("machine_id").orderBy("position").execute(),
  };
}

async function putLibrary({ db, audit }: WriteScope, plan: HostsPlan): Promise<void> {
  for (const image of plan.images) {
    const { id, ...rest } = image;
    const insert = db.insertInto("images").values(image);
    await insert.onConflict((conflict) => conflict.column("id").doUpdateSet(rest)).execute();
    await audit("image.put", `image:${id}`, rest);
  }
  for (const configuration of plan.bootConfigurations) {
    const { name, kind } = configuration;
    const body = JSON.stringify(configuration);
    const insert = db.insertInto("boot_configurations").values({ name, body });
    await insert.onConflict((conflict) => conflict.column("name").doUpdateSet({ body })).execute();
    await audit("configuration.put", `configuration:${name}`, { kind });
  }
}

async function putMachines(scope: WriteScope, changes: readonly MachineChange[]): Promise<void> {
  const { db, nowMs } = scope;
  // First what is given up, so that machines can swap names and cards.
  const renamed = changes.filter(({ isNew, changes: what }) => !isNew && what.includes("name"));
  for (const some of chunks(renamed)) {
    await db.updateTable("machines").set({ name: null }).where("id", "in", some.map(idOf)).execute();
  }
  const recarded = changes.filter(({ macs }) => macs !== null);
  for (const some of chunks(recarded)) await db.deleteFrom("macs").where("machine_id", "in", some.map(idOf)).execute();

  for (const some of chunks(changes)) {
    const rows = some.map(({ row }) => ({ ...row, state: "declared" as const, created_at: nowMs }));
    await db
      .insertInto("machines")
      .values(rows)
      .onConflict((conflict) =>
        conflict.column("id").doUpdateSet((set) => ({
          name: set.ref("excluded.name"),
          serial: set.ref("excluded.serial"),
          image_id: set.ref("excluded.image_id"),
          locked: set.ref("excluded.locked"),
          power: set.ref("excluded.power"),
        })),
      )
      .execute();
  }
  const cards = recarded.flatMap(({ row, macs }) =>
    (macs ?? []).map((mac, position) => ({ mac, machine_id: row.id, position })),
  );
  for (const some of chunks(cards)) await db.insertInto("macs").values(some).execute();
  for (const { row, isNew, changes: what } of changes) {
    // Which fields, and not what is in them: one of them holds the passwords of management controllers.
    await scope.audit(isNew ? "machine.declared" : "machine.changed", `machine:${row.id}`, { by: "hosts file", what });
    scope.changed(row.id);
  }
}

const idOf = ({ row }: MachineChange): string => row.id;

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += ROWS) yield items.slice(start, start + ROWS);
}
