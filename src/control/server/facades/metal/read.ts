/** Machines as the database has them, for this protocol's answers. */
import type { Store } from "../../database/store.ts";
import type { MachineRow } from "../../database/tables.ts";
import type { Provisioning, ProvisioningEntry } from "../../decisions/provisioning.ts";
import { listProvisioningEvents, parseProvisioning } from "../../operations/provisioning.ts";
import { knownBootInfo } from "./boot-info.ts";
import { type MetalFacts, parseMetalFacts } from "./facts.ts";

type Reading = Pick<Store, "db">;

/** A machine, with all that an answer tells of it. */
export interface MetalMachine {
  readonly row: MachineRow;
  readonly macs: readonly string[];
  readonly metal: MetalFacts;
  readonly provisioning: Provisioning;
  readonly isAllocated: boolean;
  /** The image that is wanted, or else the one that is there. */
  readonly image: { readonly id: string; readonly url: string | null; readonly description: string } | null;
  readonly open: { readonly bootInfo: string | null; readonly createdAtMs: number } | null;
}

/** Whether somebody's OS is, or is to be, on a machine: an operator has named or approved it, and not given it back since. */
export async function isAllocated(db: Reading, row: MachineRow): Promise<boolean> {
  if (row.state === "discovered") return false;
  const { freedAtMs } = parseMetalFacts(row.facade);
  if (freedAtMs === null) return true;
  const later = db.db
    .selectFrom("reinstalls")
    .select("id")
    .where("machine_id", "=", row.id)
    .where("created_at", ">", freedAtMs);
  return (await later.executeTakeFirst()) !== undefined;
}

/** In the order of ids. @param id of one machine; null: all. */
export async function readMetalMachines({ db }: Reading, id: string | null): Promise<MetalMachine[]> {
  let machines = db.selectFrom("machines").selectAll().orderBy("id");
  let cards = db.selectFrom("macs").selectAll().orderBy("position");
  let reinstalls = db.selectFrom("reinstalls").selectAll().where("ended_at", "is", null);
  if (id !== null) {
    machines = machines.where("id", "=", id);
    cards = cards.where("machine_id", "=", id);
    reinstalls = reinstalls.where("machine_id", "=", id);
  }
  const rows = await machines.execute();
  const macs = Map.groupBy(await cards.execute(), ({ machine_id }) => machine_id);
  const open = new Map((await reinstalls.execute()).map((row) => [row.machine_id, row]));
  const images = new Map((await db.selectFrom("images").selectAll().execute()).map((row) => [row.id, row]));
  const found: MetalMachine[] = [];
  for (const row of rows) {
    const wanted = open.get(row.id);
    const imageId = wanted?.image_id ?? row.image_id;
    found.push({
      row,
      macs: (macs.get(row.id) ?? []).map(({ mac }) => mac),
      metal: parseMetalFacts(row.facade),
      provisioning: parseProvisioning(row.facade),
      isAllocated: await isAllocated({ db }, row),
      image: imageId === null ? null : (images.get(imageId) ?? { id: imageId, url: null, description: "" }),
      open:
        wanted === undefined ? null : { bootInfo: wanted.previous_boot_info, createdAtMs: Number(wanted.created_at) },
    });
  }
  return found;
}

/** A machine and its events; null where there is none. */
export async function readMetalMachine(
  db: Reading,
  id: string,
): Promise<{ readonly machine: MetalMachine; readonly log: readonly ProvisioningEntry[] } | null> {
  const [machine] = await readMetalMachines(db, id);
  return machine === undefined ? null : { machine, log: await listProvisioningEvents(db, id) };
}

/** What is known of the OS that is, or was, on the machine. */
export function bootInfoOf({ row, open }: MetalMachine) {
  return knownBootInfo({ ...row, boot_info: open?.bootInfo ?? row.boot_info });
}
