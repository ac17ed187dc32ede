/** A run belongs to the machine that first told of it. */
import type { WriteScope } from "../database/store.ts";

/**
 * Makes sure of it after runs were written that had not been there: two machines that are told of the same run in the same
 * moment, by two processes, both found none. For the loser the transaction is run again, and then finds the other's.
 */
export async function requireOwnRuns(
  scope: WriteScope,
  runs: readonly { readonly id: string; readonly machine_id: string }[],
): Promise<void> {
  if (scope.dialect !== "postgres" || runs.length === 0) return; // SQLite has one process, and one transaction at a time
  const ids = runs.map(({ id }) => id);
  const rows = await scope.db.selectFrom("runs").select(["id", "machine_id"]).where("id", "in", ids).execute();
  const owners = new Map(rows.map(({ id, machine_id }) => [id, machine_id]));
  const lost = runs.find(({ id, machine_id }) => owners.get(id) !== machine_id);
  // The code of PostgreSQL for a transaction that has to be run again (serialization_failure).
  if (lost !== undefined) throw Object.assign(new Error(`run ${lost.id} is another machine's`), { code: "40001" });
}
