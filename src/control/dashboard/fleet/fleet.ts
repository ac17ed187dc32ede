/** All machines, in an order that stays while their states change (pure). */
import type { MachinesChanged } from "../../protocol/feed.ts";
import type { MachineSummary } from "../../protocol/machine.ts";
import { titleOf } from "../../view/condition.ts";

export interface Fleet {
  readonly machines: ReadonlyMap<string, MachineSummary>;
  /** Ids by what the machines are called: `kiosk-9` before `kiosk-10`. */
  readonly order: readonly string[];
}

export const emptyFleet: Fleet = { machines: new Map(), order: [] };

const collator = new Intl.Collator("en", { numeric: true });

export function fleetOf(list: readonly MachineSummary[]): Fleet {
  const machines = new Map(list.map((machine) => [machine.id, machine]));
  return { machines, order: orderOf(machines) };
}

/** The fleet after `changed`. It is sorted again only where a machine came, went or was renamed. */
export function applyChange(fleet: Fleet, changed: MachinesChanged): Fleet {
  const machines = new Map(fleet.machines);
  let isOrdered = true;
  for (const machine of changed.machines) {
    const before = machines.get(machine.id);
    if (before === undefined || titleOf(before) !== titleOf(machine)) isOrdered = false;
    machines.set(machine.id, machine);
  }
  for (const id of changed.removed) if (machines.delete(id)) isOrdered = false;
  return { machines, order: isOrdered ? fleet.order : orderOf(machines) };
}

function orderOf(machines: ReadonlyMap<string, MachineSummary>): string[] {
  return [...machines.values()]
    .map((machine) => ({ id: machine.id, title: titleOf(machine) }))
    .sort((a, b) => collator.compare(a.title, b.title) || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}
