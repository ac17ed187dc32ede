/** Machines as PXE Pilot shows and finds hosts. */
import { ReimageError } from "../../../../errors.ts";
import type { MachineSummary } from "../../../protocol/machine.ts";
import type { Endpoint } from "../../api/context.ts";
import type { Store } from "../../database/store.ts";
import { findMachine, listMachines } from "../../operations/machine-list.ts";
import { bootloaders } from "./bootloaders.ts";
import type { HostQuery } from "./deploy-query.ts";
import { readPowerState } from "./power.ts";

const MOST_HOSTS = 10_000;

/** What PXE Pilot calls a machine: by its name, or where it has none, by its id. */
export function hostName(machine: Pick<MachineSummary, "id" | "name">): string {
  return machine.name ?? machine.id;
}

/** @param withStatus whether to ask every machine's power adapter whether it is on. */
export async function listHosts(endpoint: Endpoint, withStatus: boolean, address: string | null) {
  const machines = await listMachines(endpoint.store, { limit: MOST_HOSTS });
  const managed = await readPowerSettings(endpoint.store);
  const states = new Map<string, string>();
  if (withStatus) {
    const asked = machines.filter(({ id }) => managed.has(id));
    await Promise.all(asked.map(async ({ id }) => states.set(id, await readPowerState(endpoint, id, address))));
  }
  return machines.map((machine) => ({
    name: hostName(machine),
    macAddresses: machine.macs,
    configuration: { name: machine.configuration, bootloader: bootloaders.pxelinux },
    powerState: states.get(machine.id) ?? "Unknown",
    ipmi: managed.get(machine.id) ?? null,
    management: null,
  }));
}

/** What may be shown of the power adapters: never a password. The field is there, for programs that expect it. */
async function readPowerSettings({ db }: Pick<Store, "db">) {
  const rows = await db.selectFrom("machines").select(["id", "power"]).where("power", "is not", null).execute();
  return new Map(
    rows.map(({ id, power }) => {
      const { variables = {} } = JSON.parse(power ?? "{}") as { variables?: Record<string, string> };
      const { address = "", user = "" } = variables;
      const ipmi = { macAddress: "", username: user, password: "", interface: "", hostname: address, subnet: "" };
      return [id, ipmi] as const;
    }),
  );
}

/**
 * The machines that a request names, in its order.
 * @throws ReimageError `invalid` for a host without name and MAC, `not-found`, `conflict` where name and MAC are not of the
 * same machine or a machine is named twice.
 */
export async function findHosts(store: Store, hosts: readonly HostQuery[]): Promise<string[]> {
  const found: string[] = [];
  for (const host of hosts) {
    const id = await findHost(store, host);
    if (found.includes(id)) throw new ReimageError("conflict", `host ${host.name ?? host.mac} is named several times`);
    found.push(id);
  }
  return found;
}

async function findHost(store: Store, { name, mac, hasConfiguration }: HostQuery): Promise<string> {
  if (hasConfiguration) {
    throw new ReimageError("conflict", "a host has no configuration of its own here: the path names the one for all");
  }
  const byMac = mac === null ? null : await findMachine(store, mac);
  if (name !== null) {
    const byName = await findMachine(store, name);
    if (byName === null) throw new ReimageError("not-found", `there is no host ${name}`);
    if (mac !== null && byMac !== byName)
      throw new ReimageError("conflict", `${mac} is no MAC address of host ${name}`);
    return byName;
  }
  if (mac === null) throw new ReimageError("invalid", "a host needs a name or a macAddress");
  if (byMac === null) throw new ReimageError("not-found", `there is no host with the MAC address ${mac}`);
  return byMac;
}
