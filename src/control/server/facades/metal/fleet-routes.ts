/** metal-api: machines listed, found, given back, switched, locked. */
import { ReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";
import type { App } from "../../api/context.ts";
import type { WriteScope } from "../../database/store.ts";
import { putMachine } from "../../operations/machines.ts";
import { takeProvisioningEvent } from "../../operations/provisioning.ts";
import { bootFromDisk, cancelReinstall, requireMachine } from "../../operations/reinstalls.ts";
import type { PowerAction } from "../../power/adapter.ts";
import { notFound } from "./answers.ts";
import { type Find, findSchema, ipmiReportSchema, machineStateSchema } from "./bodies.ts";
import { changeMetalFacts, parseMetalFacts } from "./facts.ts";
import { readFields } from "./fields.ts";
import type { MetalContext } from "./metal-context.ts";
import { type MetalMachine, readMetalMachine, readMetalMachines } from "./read.ts";
import { describeMachine, facadeActor, machineOf } from "./requests.ts";
import { viewMachine } from "./view.ts";

/** What a power route does; `cycle` is what the adapters call reset. */
const powerActions: ReadonlyMap<string, PowerAction> = new Map([
  ["on", "on"],
  ["off", "off"],
  ["reset", "reset"],
  ["cycle", "reset"],
  ["disk", "next-boot-disk"],
  ["pxe", "next-boot-network"],
]);

export function addFleetRoutes(app: App, { endpoint }: MetalContext): void {
  const { store } = endpoint;

  app.get("/v1/machine", async (context) => {
    const machines = await readMetalMachines(store, null);
    return context.json(
      machines.map((machine) => viewMachine(machine, [], store.now())),
      200,
    );
  });

  app.post("/v1/machine/find", async (context) => {
    const query = await readFields(context, findSchema);
    const machines = (await readMetalMachines(store, null)).filter((machine) => isFound(machine, query));
    return context.json(
      machines.map((machine) => viewMachine(machine, [], store.now())),
      200,
    );
  });

  // The addresses that management controllers have now, of machines that are known.
  app.post("/v1/machine/ipmi", async (context) => {
    const { leases } = await readFields(context, ipmiReportSchema);
    const updated: string[] = [];
    await store.write(facadeActor(context), async (scope) => {
      updated.length = 0; // it may be run again
      for (const [id, address] of Object.entries(leases).sort(([a], [b]) => (a < b ? -1 : 1))) {
        const machine = await scope.lockMachine(id.toLowerCase());
        if (machine === null) continue;
        const before = parseMetalFacts(machine.facade).ipmi ?? {};
        await changeMetalFacts(scope, machine.id, { ipmi: { ...before, address } });
        updated.push(machine.id);
      }
    });
    return context.json({ updated, created: [] }, 200);
  });

  app.get("/v1/machine/:id", async (context) =>
    context.json(await describeMachine(store, await machineOf(context, store)), 200),
  );

  app.get("/v1/machine/:id/ipmi", async (context) => {
    const machineId = await machineOf(context, store);
    const found = await readMetalMachine(store, machineId);
    if (found === null) throw notFound(machineId);
    const { address = "", mac = "", user = "", interface: port = "" } = found.machine.metal.ipmi ?? {};
    const ipmi = { address, mac, user, password: "", interface: port }; // never a password
    return context.json({ ...viewMachine(found.machine, found.log, store.now()), ipmi }, 200);
  });

  app.delete("/v1/machine/:id/free", async (context) => {
    const machineId = await machineOf(context, store);
    const actor = facadeActor(context);
    const open = await store.db
      .selectFrom("reinstalls")
      .select("id")
      .where("machine_id", "=", machineId)
      .where("ended_at", "is", null)
      .executeTakeFirst();
    await refuseLocked(machineId);
    if (open !== undefined) await cancelReinstall(store, actor, open.id);
    await bootFromDisk(store, actor, machineId);
    await store.write(actor, async (scope) => {
      await changeMetalFacts(scope, machineId, {
        freedAtMs: scope.nowMs,
        allocationName: "",
        allocationDescription: "",
      });
      await takeProvisioningEvent(scope, machineId, {
        event: "Machine Reclaim",
        message: "free machine called",
        timeMs: null,
      });
      await scope.audit("machine.freed", `machine:${machineId}`);
    });
    return context.json(await describeMachine(store, machineId), 200);
  });

  app.post("/v1/machine/:id/state", async (context) => {
    const { value, description } = await readFields(context, machineStateSchema);
    if (value !== "" && description === "") throw new ReimageError("invalid", "you must supply a description");
    const machineId = await machineOf(context, store);
    await store.write(facadeActor(context), (scope) => setState(scope, machineId, value, description));
    return context.json(await describeMachine(store, machineId), 200);
  });

  app.post("/v1/machine/:id/power/:action/:description?", async (context) => {
    const machineId = await machineOf(context, store);
    const name = context.req.param("action");
    const action = powerActions.get(name);
    if (action === undefined) throw new ReimageError("invalid", unswitchable(name));
    await requireAdapter(machineId);
    const actor = facadeActor(context);
    await endpoint.power.submit(actor, machineId, action);
    if (action === "reset" || action === "off") {
      const sent = { event: "Planned Reboot" as const, message: `power ${name}`, timeMs: null };
      await store.write(actor, (scope) => takeProvisioningEvent(scope, machineId, sent));
    }
    return context.json(await describeMachine(store, machineId), 200);
  });

  async function refuseLocked(machineId: string): Promise<void> {
    const row = await store.db.selectFrom("machines").select("locked").where("id", "=", machineId).executeTakeFirst();
    if (row?.locked === 1) throw new ReimageError("invalid", `machine ${machineId} is locked`);
  }

  /** @throws ReimageError `invalid`: this protocol's word for what cannot be done is 422. */
  async function requireAdapter(machineId: string): Promise<void> {
    try {
      await endpoint.power.requireAdapter(machineId);
    } catch (cause) {
      if (!(cause instanceof ReimageError && cause.code === "conflict")) throw cause;
      throw new ReimageError("invalid", cause.message, {
        cause,
        ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      });
    }
  }
}

async function setState(scope: WriteScope, machineId: string, value: string, description: string): Promise<void> {
  await requireMachine(scope, machineId);
  await putMachine(scope, machineId, { locked: value === "LOCKED" });
  await changeMetalFacts(scope, machineId, {
    stateValue: value === "LOCKED" ? "" : value,
    stateDescription: description,
  });
  await scope.audit("machine.state", `machine:${machineId}`, { value, description });
}

function unswitchable(name: string): string {
  const isKnown = name === "bios" || name.startsWith("chassis-identify-led-");
  return isKnown
    ? `no power adapter can do ${name}: nothing was switched`
    : `there is no power action ${JSON.stringify(name.slice(0, 64))}`;
}

/** Whether a machine is all that is asked for (pure). */
function isFound({ row, macs, metal, image, isAllocated }: MetalMachine, query: Find): boolean {
  const name = metal.allocationName === "" ? (row.name ?? "") : metal.allocationName;
  const isSame = (asked: string | undefined, value: string) => asked === undefined || asked === value;
  const isAllocatedAs = (asked: string | undefined, value: string) =>
    asked === undefined || (isAllocated && asked === value);
  return (
    isSame(query.id?.toLowerCase(), row.id) &&
    isSame(query.name, row.name ?? "") &&
    isSame(query.partitionid, metal.partitionId) &&
    isSame(query.rackid, metal.rackId) &&
    isAllocatedAs(query.allocationname, name) &&
    isAllocatedAs(query.allocationhostname, name) &&
    isAllocatedAs(query.allocationimageid, image?.id ?? "") &&
    (query.tags ?? []).every((tag) => metal.tags.includes(tag)) &&
    (query.nicsmacaddresses ?? []).every((mac) => macs.includes(normalizeMac(mac) ?? mac))
  );
}
