/** Machines by what a person calls them. */
import { z } from "zod";
import { ReimageError } from "../../errors.ts";
import { normalizeMac } from "../protocol/identity.ts";
import { type MachineSummary, machineSummarySchema } from "../protocol/machine.ts";
import type { FleetClient } from "./client.ts";

const PAGE = 10_000;
/** From so many on, the whole list is asked for once. */
const MANY = 8;
const MOST_QUERY = 128;
const MOST_MEANT = 5;

const pageSchema = z.object({ machines: z.array(machineSummarySchema), next: z.string().nullable() });

/** All machines in which `query` occurs, as the server tells them; null: all. */
export async function listMachines(
  client: FleetClient,
  query: string | null,
): Promise<{ readonly machines: MachineSummary[]; readonly pages: readonly string[] }> {
  const machines: MachineSummary[] = [];
  const pages: string[] = [];
  for (let after: string | null = null; ; ) {
    const parameters = new URLSearchParams({ limit: String(PAGE) });
    if (query !== null) parameters.set("query", query);
    if (after !== null) parameters.set("after", after);
    const { value, text } = await client.get(`/machines?${parameters}`, pageSchema);
    machines.push(...value.machines);
    pages.push(text);
    if (value.next === null) return { machines, pages };
    after = value.next;
  }
}

/**
 * The machines that `references` name, by id, name, or a MAC in any spelling; in their order.
 * @throws ReimageError `not-found`; `usage` for a name that means two machines, and for two names of one machine.
 */
export async function findMachines(client: FleetClient, references: readonly string[]): Promise<MachineSummary[]> {
  const all = references.length > MANY ? (await listMachines(client, null)).machines : null;
  const found: MachineSummary[] = [];
  const named = new Map<string, string>();
  for (const reference of references) {
    const machine = pickMachine(reference, all ?? (await candidates(client, reference)));
    const before = named.get(machine.id);
    if (before !== undefined) {
      throw new ReimageError("usage", `${before} and ${reference} are the same machine (${machine.id})`);
    }
    named.set(machine.id, reference);
    found.push(machine);
  }
  return found;
}

/** @throws as `findMachines` */
export async function findMachine(client: FleetClient, reference: string): Promise<MachineSummary> {
  return pickMachine(reference, await candidates(client, reference));
}

async function candidates(client: FleetClient, reference: string): Promise<MachineSummary[]> {
  const mac = normalizeMac(reference);
  const texts = [reference, ...(mac === null || mac === reference ? [] : [mac])];
  const asked = texts.filter((text) => text !== "" && text.length <= MOST_QUERY);
  const lists = await Promise.all(asked.map((text) => listMachines(client, text)));
  return lists.flatMap(({ machines }) => machines);
}

/** The one machine that is meant (pure). @throws as `findMachines` */
export function pickMachine(reference: string, machines: readonly MachineSummary[]): MachineSummary {
  const [id, mac] = [reference.toLowerCase(), normalizeMac(reference)];
  const meant = machines.filter(
    (machine) => machine.id === id || machine.name === reference || (mac !== null && machine.macs.includes(mac)),
  );
  const byId = new Map(meant.map((machine) => [machine.id, machine]));
  const [only, ...others] = byId.values();
  if (only === undefined) {
    const alike = machines.filter(({ id: other, name }) => other.includes(id) || name?.toLowerCase().includes(id));
    const names = [...new Set(alike.map((machine) => machine.name ?? machine.id))].slice(0, MOST_MEANT);
    const hint =
      names.length === 0 || id === "" ? "`reimage fleet list` shows them" : `did you mean ${names.join(", ")}?`;
    throw new ReimageError("not-found", `there is no machine ${JSON.stringify(reference)}`, { hint });
  }
  if (others.length === 0) return only;
  const ids = [only, ...others].map((machine) => machine.id).join(", ");
  throw new ReimageError("usage", `${reference} means several machines: ${ids}`, { hint: "name it by its id" });
}
