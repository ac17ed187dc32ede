/** What only the compatible facades know of a machine: one JSON object, in which each has a part of its own. */
import type { WriteScope } from "../database/store.ts";
import type { MachineRow } from "../database/tables.ts";
import { requireMachine } from "./reinstalls.ts";

/** The part `name`; null where there is none (pure). @param facade the column. */
export function facadePart(facade: string | null, name: string): unknown {
  if (facade === null) return null;
  const all: unknown = JSON.parse(facade);
  return typeof all === "object" && all !== null && name in all ? (all as Record<string, unknown>)[name] : null;
}

/** Changes the part `name` of a machine, and leaves the others. */
export async function changeFacadePart(
  scope: WriteScope,
  machineId: string,
  name: string,
  change: (machine: MachineRow) => unknown,
): Promise<void> {
  const machine = await requireMachine(scope, machineId);
  const all: unknown = machine.facade === null ? {} : JSON.parse(machine.facade);
  const facade = JSON.stringify({ ...(all as Record<string, unknown>), [name]: change(machine) });
  if (facade === machine.facade) return;
  await scope.db.updateTable("machines").set({ facade }).where("id", "=", machineId).execute();
  scope.changed(machineId);
}
