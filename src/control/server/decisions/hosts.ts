/** What loading a hosts file changes (pure): the difference between what it says and what is known, or why it cannot be. */
import { type BootConfiguration, LOCAL } from "../../protocol/boot.ts";
import type { Image } from "../../protocol/image.ts";

/** A machine of the file. What it leaves out stays as it is. */
export interface HostMachine {
  readonly id: string;
  /** Where it stands, for messages: `machines[3] (kiosk-7)`. */
  readonly place: string;
  readonly name?: string | undefined;
  readonly macs?: readonly string[] | undefined;
  readonly serial?: string | undefined;
  /** What is on its disk, as far as the operator knows; what the machine has proved counts more. */
  readonly image?: string | undefined;
  readonly locked?: boolean | undefined;
  readonly power?: { readonly adapter: string; readonly variables: Readonly<Record<string, string>> } | undefined;
}

/** The file. A section that is not in it is null. */
export interface Hosts {
  readonly images: readonly Image[] | null;
  readonly bootConfigurations: readonly BootConfiguration[] | null;
  readonly machines: readonly HostMachine[] | null;
}

/** What the file can change of a machine, as it is kept. */
export interface KnownMachine {
  readonly id: string;
  readonly name: string | null;
  readonly serial: string | null;
  readonly image_id: string | null;
  readonly locked: number;
  readonly power: string | null;
}

export interface KnownFleet {
  readonly images: readonly Image[];
  readonly bootConfigurations: readonly BootConfiguration[];
  readonly machines: readonly KnownMachine[];
  /** In the order of each machine's cards. */
  readonly macs: readonly { readonly mac: string; readonly machine_id: string }[];
}

/** A machine that is new, or other than before. */
export interface MachineChange {
  readonly row: KnownMachine;
  readonly isNew: boolean;
  /** The cards it has from now on; null: those it has. */
  readonly macs: readonly string[] | null;
  /** The names of what changes. */
  readonly changes: readonly string[];
}

export interface HostsPlan {
  /** Where there is any, nothing may be changed. */
  readonly problems: readonly string[];
  readonly images: readonly Image[];
  readonly bootConfigurations: readonly BootConfiguration[];
  readonly machines: readonly MachineChange[];
  /** What is known and not in the file; it stays. */
  readonly left: {
    readonly images: readonly string[];
    readonly bootConfigurations: readonly string[];
    readonly machines: readonly string[];
  };
}

export function planHosts(hosts: Hosts, known: KnownFleet): HostsPlan {
  const machines = planMachines(hosts.machines ?? [], known);
  const names = new Map(known.machines.map(({ id, name }) => [id, name ?? id]));
  const idOf = ({ id }: { id: string }) => id;
  const nameOf = ({ name }: { name: string }) => name;
  return {
    problems: [...nameConflicts(hosts.machines ?? [], known), ...macConflicts(hosts.machines ?? [], known)],
    images: changedOnes(hosts.images, known.images, idOf),
    bootConfigurations: changedOnes(hosts.bootConfigurations, known.bootConfigurations, nameOf),
    machines,
    left: {
      images: leftOut(hosts.images?.map(idOf), known.images.map(idOf)),
      bootConfigurations: leftOut(
        hosts.bootConfigurations?.map(nameOf),
        known.bootConfigurations.map(nameOf).filter((name) => name !== LOCAL), // is always there
      ),
      machines: leftOut(hosts.machines?.map(idOf), known.machines.map(idOf)).map((id) => names.get(id) ?? id),
    },
  };
}

function planMachines(wanted: readonly HostMachine[], known: KnownFleet): MachineChange[] {
  const before = new Map(known.machines.map((machine) => [machine.id, machine]));
  const cards = cardsByMachine(known);
  const nothing = { name: null, serial: null, image_id: null, locked: 0, power: null };
  return wanted.flatMap(({ id, name, serial, image, locked, power, macs }) => {
    const old = before.get(id);
    const was = old ?? { id, ...nothing };
    const row: KnownMachine = {
      id,
      name: name ?? was.name,
      serial: serial ?? was.serial,
      image_id: was.image_id ?? image ?? null,
      locked: locked === undefined ? was.locked : locked ? 1 : 0,
      power: power === undefined ? was.power : JSON.stringify(power),
    };
    const hasOtherCards = macs !== undefined && macs.join() !== (cards.get(id) ?? []).join();
    const fields = ["name", "serial", "image_id", "locked", "power"] as const;
    const changes = [...fields.filter((field) => row[field] !== was[field]), ...(hasOtherCards ? ["macs"] : [])];
    if (old !== undefined && changes.length === 0) return [];
    return [{ row, isNew: old === undefined, macs: hasOtherCards ? macs : null, changes }];
  });
}

function cardsByMachine({ macs }: KnownFleet): Map<string, string[]> {
  const cards = new Map<string, string[]>();
  for (const { mac, machine_id } of macs) cards.set(machine_id, [...(cards.get(machine_id) ?? []), mac]);
  return cards;
}

/** Names that a machine keeps which the file does not rename; those twice in the file have been refused with the file. */
function nameConflicts(wanted: readonly HostMachine[], known: KnownFleet): string[] {
  const renamed = new Set(wanted.flatMap(({ id, name }) => (name === undefined ? [] : [id])));
  const kept = new Map(
    known.machines.flatMap(({ id, name }) => (name === null || renamed.has(id) ? [] : [[name, id]])),
  );
  return wanted.flatMap(({ id, name, place }) => {
    const owner = name === undefined ? undefined : kept.get(name);
    return owner === undefined || owner === id ? [] : [`${place}: machine ${owner} is called ${name} already`];
  });
}

function macConflicts(wanted: readonly HostMachine[], known: KnownFleet): string[] {
  const said = new Set(wanted.flatMap(({ id, macs }) => (macs === undefined ? [] : [id])));
  const kept = new Map(known.macs.flatMap(({ mac, machine_id }) => (said.has(machine_id) ? [] : [[mac, machine_id]])));
  return wanted.flatMap(({ id, macs = [], place }) =>
    macs.flatMap((mac) => {
      const owner = kept.get(mac);
      return owner === undefined || owner === id ? [] : [`${place}: ${mac} is a card of machine ${owner} already`];
    }),
  );
}

function changedOnes<T>(wanted: readonly T[] | null, known: readonly T[], keyOf: (item: T) => string): T[] {
  const before = new Map(known.map((item) => [keyOf(item), canonical(item)]));
  return (wanted ?? []).filter((item) => before.get(keyOf(item)) !== canonical(item));
}

/** The same text for the same thing, in whatever order its keys stand. */
function canonical(item: unknown): string {
  const entries = Object.entries(item as object).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries);
}

/** What the file does not name; of a section that it does not have, nothing. */
function leftOut(wanted: readonly string[] | undefined, known: readonly string[]): string[] {
  const named = new Set(wanted);
  return wanted === undefined ? [] : known.filter((key) => !named.has(key));
}
