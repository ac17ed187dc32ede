/** A fleet in a database, as it stands after years: machines with cards, tokens, runs. */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import { openStore } from "../../src/control/server/database/store.ts";

/** A machine that will send. */
export interface BenchMachine {
  readonly id: string;
  readonly runId: string;
  readonly token: string;
}

const ROWS_A_STATEMENT = 500;

/** A UUID made of a number, so that every process can make the same fleet (pure). */
export function uuidOf(kind: number, index: number): string {
  const tail = index.toString(16).padStart(12, "0");
  return `${kind.toString(16).padStart(8, "0")}-0000-4000-8000-${tail}`;
}

/** The fleet (pure). */
export function makeFleet(count: number): BenchMachine[] {
  return Array.from({ length: count }, (_, index) => ({
    id: uuidOf(1, index),
    runId: uuidOf(2, index),
    token: `bench-${createHash("sha256").update(`machine ${index}`).digest("base64url")}`,
  }));
}

/** Puts the fleet into a database, with an admin token. */
export async function fillDatabase(
  dataDir: string,
  databaseUrl: string | null,
  fleet: readonly BenchMachine[],
  adminToken: string,
): Promise<void> {
  const onError = (error: unknown) => {
    throw error;
  };
  await using store = await openStore({ dataDir, databaseUrl, onError });
  const { db } = store;
  const created_at = Date.now();
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  await db.transaction().execute(async (trx) => {
    const admin = { kind: "admin" as const, name: "bench", role: "admin" as const, machine_id: null, created_at };
    await trx
      .insertInto("tokens")
      .values({ ...admin, id: "bench", secret_sha256: sha256(adminToken), state: "active", expires_at: null })
      .execute();
    await trx
      .insertInto("images")
      .values({ id: "os-2", url: null, sha256: null, readback: null, description: "" })
      .execute();
    for (let first = 0; first < fleet.length; first += ROWS_A_STATEMENT) {
      const part = fleet.slice(first, first + ROWS_A_STATEMENT).map((machine, i) => ({ ...machine, index: first + i }));
      await trx
        .insertInto("machines")
        .values(
          part.map(({ id, runId, index }) => ({
            ...{ id, name: `kiosk-${index}`, serial: `SN${100_000 + index}`, state: "approved" as const, locked: 0 },
            ...{ image_id: "os-1", boot_info: null, hardware: null, power: null, address: null, facade: null },
            ...{ last_run_id: runId, created_at },
          })),
        )
        .execute();
      const macs = part.flatMap(({ id, index }) => [
        { mac: macOf(2 * index), machine_id: id, position: 0 },
        { mac: macOf(2 * index + 1), machine_id: id, position: 1 },
      ]);
      await trx.insertInto("macs").values(macs).execute();
      await trx
        .insertInto("tokens")
        .values(
          part.map(({ id, token, index }) => ({
            ...{ id: `machine-${index}`, kind: "machine" as const, name: id, role: null, machine_id: id },
            ...{ secret_sha256: sha256(token), state: "active" as const, created_at, expires_at: null },
          })),
        )
        .execute();
      await trx
        .insertInto("presence")
        .values(part.map(({ id }) => ({ machine_id: id, seen_at: created_at })))
        .execute();
      await trx
        .insertInto("runs")
        .values(
          part.map(({ id, runId }) => ({
            ...{ id: runId, machine_id: id, started_at: created_at, target: "partial" as const, last_seq: 0 },
            ...{ stage: "write", what: "writing the image", done_bytes: 0, total_bytes: 8 << 20 },
          })),
        )
        .execute();
    }
  });
  if (databaseUrl !== null) await sql`analyze`.execute(db);
}

function macOf(index: number): string {
  return `52:54:${index
    .toString(16)
    .padStart(8, "0")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

/** The sequence numbers that are stored of each run. */
export async function readStored(
  dataDir: string,
  databaseUrl: string | null,
): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
  await using store = await openStore({ dataDir, databaseUrl, onError: () => {} });
  const stored = new Map<string, Set<number>>();
  for (const { run_id, seq } of await store.db.selectFrom("events").select(["run_id", "seq"]).execute()) {
    const seqs = stored.get(run_id) ?? new Set();
    stored.set(run_id, seqs.add(seq));
  }
  return stored;
}

/** Events that were acknowledged, and are not stored (pure). @param acknowledgedOf in the order of the fleet. */
export function countLost(
  fleet: readonly BenchMachine[],
  acknowledgedOf: readonly (readonly number[])[],
  stored: ReadonlyMap<string, ReadonlySet<number>>,
): number {
  let lost = 0;
  for (const [index, { runId }] of fleet.entries()) {
    const seqs = stored.get(runId);
    for (const seq of acknowledgedOf[index] ?? []) if (!seqs?.has(seq)) lost += 1;
  }
  return lost;
}
