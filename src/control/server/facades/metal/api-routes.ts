/** metal-api: a machine's reinstallation, its registration and its events. */
import { ReimageError } from "../../../../errors.ts";
import type { App } from "../../api/context.ts";
import { listProvisioningEvents, parseProvisioning, takeProvisioningEvent } from "../../operations/provisioning.ts";
import { requestReinstall } from "../../operations/reinstalls.ts";
import { notFound, refuse } from "./answers.ts";
import { abortSchema, finalizeSchema, registerSchema, reinstallSchema } from "./bodies.ts";
import { changeMetalFacts } from "./facts.ts";
import { readFields } from "./fields.ts";
import type { MetalContext } from "./metal-context.ts";
import { isAllocated } from "./read.ts";
import { discoverMachine, registerMachine } from "./registration.ts";
import { describeMachine, facadeActor, machineOf, readEvent, waitForMark } from "./requests.ts";
import { viewBootInfo, viewEvents } from "./view.ts";
import { abortReinstall, takeEvent, takeInstalled } from "./word.ts";

const UNFIT = "machine either locked, not allocated yet or invalid image ID specified";
const MOST_ATTEMPTS = 3;

export function addApiRoutes(app: App, metal: MetalContext): void {
  const { endpoint } = metal;
  const { store } = endpoint;

  app.post("/v1/machine/:id/reinstall", async (context) => {
    const { imageid: imageId, name, description } = await readFields(context, reinstallSchema);
    const machineId = await machineOf(context, store);
    const row = await store.db.selectFrom("machines").selectAll().where("id", "=", machineId).executeTakeFirst();
    if (row === undefined) throw notFound(machineId);
    const image = await store.db.selectFrom("images").select("id").where("id", "=", imageId).executeTakeFirst();
    if (row.locked === 1 || image === undefined || !(await isAllocated(store, row))) return refuse(context, 400, UNFIT);
    if (row.power !== null) await endpoint.power.requireAdapter(machineId); // before anything is marked
    const actor = facadeActor(context);
    const request = { imageId, mostAttempts: MOST_ATTEMPTS, powerCycle: row.power !== null, reason: description };
    const { reinstall } = await requestReinstall(store, actor, machineId, request, null);
    const message = `reinstallation with ${imageId} requested`;
    await store.write(actor, async (scope) => {
      await changeMetalFacts(scope, machineId, { allocationName: name, allocationDescription: description });
      await takeProvisioningEvent(scope, machineId, { event: "Planned Reboot", message, timeMs: null });
    });
    if (row.power !== null) await endpoint.power.bootFromNetwork(actor, machineId, reinstall.id);
    return context.json(await describeMachine(store, machineId), 200);
  });

  app.post("/v1/machine/:id/abort-reinstall", async (context) => {
    const { primarydiskwiped } = await readFields(context, abortSchema);
    const machineId = await machineOf(context, store);
    const bootInfo = await abortReinstall(store, facadeActor(context), machineId, primarydiskwiped);
    return context.json(viewBootInfo(bootInfo), 200);
  });

  app.post("/v1/machine/:id/finalize-allocation", async (context) => {
    const installed = await readFields(context, finalizeSchema);
    const machineId = await machineOf(context, store);
    await takeInstalled(store, facadeActor(context), machineId, installed);
    return context.json(await describeMachine(store, machineId), 200);
  });

  app.post("/v1/machine/register", async (context) => {
    const body = await readFields(context, registerSchema);
    if (body.uuid === "") throw new ReimageError("invalid", "uuid cannot be empty");
    const { isNew } = await registerMachine(store, facadeActor(context), body.uuid, body);
    return context.json(await describeMachine(store, body.uuid.toLowerCase()), isNew ? 201 : 200);
  });

  app.get("/v1/machine/:id/wait", async (context) => {
    const machineId = await machineOf(context, store);
    if (!(await waitForMark(metal, context, machineId))) return refuse(context, 504, "server timeout");
    return context.json(await describeMachine(store, machineId), 200);
  });

  app.get("/v1/machine/:id/event", async (context) =>
    context.json(await describeEvents(await machineOf(context, store)), 200),
  );

  app.post("/v1/machine/:id/event", async (context) => {
    const sent = await readEvent(context);
    const id = context.req.param("id");
    const machineId = await store.write(facadeActor(context), async (scope) => {
      const discovered = await discoverMachine(scope, id);
      await takeEvent(scope, discovered, sent);
      return discovered;
    });
    return context.json(await describeEvents(machineId), 200);
  });

  async function describeEvents(machineId: string) {
    const row = await store.db.selectFrom("machines").select("facade").where("id", "=", machineId).executeTakeFirst();
    if (row === undefined) throw notFound(machineId);
    return viewEvents(parseProvisioning(row.facade), await listProvisioningEvents(store, machineId));
  }
}
