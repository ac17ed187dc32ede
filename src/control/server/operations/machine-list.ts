/** Machines, found and read. */
import { sql } from "kysely";
import { ReimageError } from "../../../errors.ts";
import { LOCAL } from "../../protocol/boot.ts";
import { normalizeMac } from "../../protocol/identity.ts";
import type { Machine, MachineSummary } from "../../protocol/machine.ts";
import { isOneOf } from "../database/many.ts";
import type { Store } from "../database/store.ts";
import { parseStoredBootInfo } from "./open-reinstall.ts";
import { isoTime } from "./time.ts";

export interface MachineQuery {
  /** Part of an id, name, serial number or MAC. */
  readonly text?: string;
  readonly ids?: readonly string[];
  /** Continues behind this id. */
  readonly after?: string;
  readonly limit: number;
}

/** Machines in the order of their ids. */
export async function listMachines(store: Store, query: MachineQuery): Promise<MachineSummary[]> {
  const aggregate =
    store.dialect === "sqlite"
      ? sql<
          string | null
        >`(select group_concat(mac, ' ') from (select mac from macs where macs.machine_id = machines.id order by position))`
      : sql<
          string | null
        >`(select string_agg(mac, ' ' order by position) from macs where macs.machine_id = machines.id)`;
  let select = store.db
    .selectFrom("machines")
    .leftJoin("presence", "presence.machine_id", "machines.id")
    .leftJoin("deployments", "deployments.machine_id", "machines.id")
    .leftJoin("reinstalls", (join) =>
      join.onRef("reinstalls.machine_id", "=", "machines.id").on("reinstalls.ended_at", "is", null),
    )
    .leftJoin("runs", "runs.id", "machines.last_run_id")
    .select([
      "machines.id as id",
      "machines.name as name",
      "machines.state as state",
      "machines.serial as serial",
      "machines.locked as locked",
      "machines.image_id as image_id",
      "presence.seen_at as seen_at",
      "deployments.configuration as configuration",
      "reinstalls.id as reinstall_id",
      "reinstalls.image_id as reinstall_image_id",
      "reinstalls.state as reinstall_state",
      "reinstalls.attempt as attempt",
      "reinstalls.reason as reinstall_reason",
      "runs.id as run_id",
      "runs.stage as stage",
      "runs.what as what",
      "runs.done_bytes as done_bytes",
      "runs.total_bytes as total_bytes",
      "runs.target as target",
      "runs.outcome as outcome",
      aggregate.as("macs"),
    ])
    .orderBy("machines.id")
    .limit(query.limit);
  const { text, after, ids } = query;
  if (after !== undefined) select = select.where("machines.id", ">", after);
  if (ids !== undefined) select = select.where(isOneOf(store.dialect, "machines.id", ids));
  if (text !== undefined && text !== "") {
    const pattern = `%${text.toLowerCase().replace(/[\\%_]/g, (special) => `\\${special}`)}%`;
    const like = (column: string) => sql<boolean>`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
    select = select.where((where) =>
      where.or([
        like("machines.id"),
        like("machines.name"),
        like("machines.serial"),
        sql<boolean>`exists (select 1 from macs where macs.machine_id = machines.id and ${like("macs.mac")})`,
      ]),
    );
  }
  const rows = await select.execute();
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    state: row.state,
    macs: row.macs === null ? [] : row.macs.split(" "),
    serial: row.serial,
    locked: row.locked === 1,
    imageId: row.image_id,
    configuration: row.configuration ?? LOCAL,
    reinstall:
      row.reinstall_id === null
        ? null
        : {
            id: row.reinstall_id,
            imageId: row.reinstall_image_id ?? "",
            state: row.reinstall_state ?? "requested",
            attempt: row.attempt ?? 0,
            reason: row.reinstall_reason,
          },
    run:
      row.run_id === null
        ? null
        : {
            id: row.run_id,
            stage: row.stage,
            what: row.what,
            doneBytes: row.done_bytes,
            totalBytes: row.total_bytes,
            target: row.target ?? "untouched",
            outcome: row.outcome,
          },
    lastSeenAt: isoTime(row.seen_at),
  }));
}

/** @throws ReimageError `not-found` */
export async function readMachine(store: Store, id: string): Promise<Machine> {
  const [summary] = await listMachines(store, { ids: [id], limit: 1 });
  const row = await store.db.selectFrom("machines").selectAll().where("id", "=", id).executeTakeFirst();
  if (summary === undefined || row === undefined) throw new ReimageError("not-found", `there is no machine ${id}`);
  const pending = await store.db
    .selectFrom("tokens")
    .select("secret_sha256")
    .where("machine_id", "=", id)
    .where("state", "=", "pending")
    .executeTakeFirst();
  return {
    ...summary,
    bootInfo: parseStoredBootInfo(row.boot_info),
    hardware: row.hardware === null ? null : JSON.parse(row.hardware),
    address: row.address,
    fingerprint: pending === undefined ? null : fingerprintOf(pending.secret_sha256),
    power: row.power === null ? null : { adapter: String(JSON.parse(row.power).adapter) },
    createdAt: isoTime(row.created_at),
  };
}

/** What a person compares before he approves: the beginning of the token's SHA-256, in groups (pure). */
export function fingerprintOf(sha256: string): string {
  return sha256.slice(0, 16).replace(/(.{4})(?=.)/g, "$1-");
}

/**
 * The machine that a person or a facade names: by id, name, or a MAC in any spelling.
 * @returns null where there is none.
 */
export async function findMachine(store: Pick<Store, "db">, reference: string): Promise<string | null> {
  const { db } = store;
  const lower = reference.toLowerCase();
  const mac = normalizeMac(reference);
  if (mac !== null) {
    const owner = await db.selectFrom("macs").select("machine_id").where("mac", "=", mac).executeTakeFirst();
    return owner?.machine_id ?? null;
  }
  const row = await db
    .selectFrom("machines")
    .select("id")
    .where((where) => where.or([where("id", "=", lower), where("name", "=", reference)]))
    .executeTakeFirst();
  return row?.id ?? null;
}
