/** /machines: the fleet, for people. */
import { z } from "zod";
import { machineIdSchema } from "../../protocol/identity.ts";
import {
  changeMachineSchema,
  declareMachineSchema,
  machineSchema,
  machineSummarySchema,
} from "../../protocol/machine.ts";
import { reinstallSchema, requestReinstallSchema } from "../../protocol/reinstall.ts";
import { approve } from "../operations/enrolment.ts";
import { listMachines, readMachine } from "../operations/machine-list.ts";
import { changeMachine, declareMachine, removeMachine } from "../operations/machines.ts";
import {
  bootFromDisk,
  cancelReinstall,
  listReinstalls,
  requestReinstall,
  retryReinstall,
} from "../operations/reinstalls.ts";
import { type App, actorOf, type Endpoint, guard, json, route } from "./context.ts";

const params = z.object({ machineId: machineIdSchema });
const reinstallParams = z.object({ reinstallId: z.string().max(64) });
const MOST_MACHINES = 10_000;

export function addMachineRoutes(app: App, endpoint: Endpoint): void {
  const { store } = endpoint;
  const [viewer, operator, admin] = [guard(endpoint, "viewer"), guard(endpoint, "operator"), guard(endpoint, "admin")];

  const list = route("viewer", {
    method: "get",
    path: "/machines",
    middleware: viewer,
    request: {
      query: z.object({
        query: z.string().max(128).optional(),
        after: z.string().max(64).optional(),
        limit: z.coerce.number().int().min(1).max(MOST_MACHINES).default(1000),
      }),
    },
    responses: {
      200: json(
        z.object({ machines: z.array(machineSummarySchema), next: z.string().nullable() }),
        "in the order of ids",
      ),
    },
  });
  app.openapi(list, async (context) => {
    const { query, after, limit } = context.req.valid("query");
    const machines = await listMachines(store, {
      limit,
      ...(query === undefined ? {} : { text: query }),
      ...(after === undefined ? {} : { after }),
    });
    const next = machines.length === limit ? (machines.at(-1)?.id ?? null) : null;
    return context.json({ machines, next }, 200);
  });

  const read = route("viewer", {
    method: "get",
    path: "/machines/{machineId}",
    middleware: viewer,
    request: { params },
    responses: { 200: json(machineSchema, "the machine") },
  });
  app.openapi(read, async (context) =>
    context.json(await readMachine(store, context.req.valid("param").machineId), 200),
  );

  const declare = route("operator", {
    method: "post",
    path: "/machines",
    middleware: operator,
    request: { body: { required: true, ...json(declareMachineSchema, "") } },
    responses: { 201: json(machineSchema, "declared") },
  });
  app.openapi(declare, async (context) => {
    const { id, ...facts } = context.req.valid("json");
    await declareMachine(store, actorOf(context), id, facts);
    return context.json(await readMachine(store, id), 201);
  });

  const change = route("operator", {
    method: "patch",
    path: "/machines/{machineId}",
    middleware: operator,
    request: { params, body: { required: true, ...json(changeMachineSchema, "") } },
    responses: { 200: json(machineSchema, "changed") },
  });
  app.openapi(change, async (context) => {
    const { machineId } = context.req.valid("param");
    await changeMachine(store, actorOf(context), machineId, context.req.valid("json"));
    return context.json(await readMachine(store, machineId), 200);
  });

  const remove = route("admin", {
    method: "delete",
    path: "/machines/{machineId}",
    middleware: admin,
    request: { params },
    responses: { 204: { description: "forgotten, with all its runs" } },
  });
  app.openapi(remove, async (context) => {
    await removeMachine(store, actorOf(context), context.req.valid("param").machineId);
    return context.body(null, 204);
  });

  const approval = route("operator", {
    method: "post",
    path: "/machines/{machineId}/approve",
    middleware: operator,
    request: { params, body: { required: true, ...json(z.strictObject({ fingerprint: z.string().max(64) }), "") } },
    responses: { 200: json(machineSchema, "approved") },
  });
  app.openapi(approval, async (context) => {
    const { machineId } = context.req.valid("param");
    await approve(store, actorOf(context), machineId, context.req.valid("json").fingerprint);
    return context.json(await readMachine(store, machineId), 200);
  });

  const local = route("operator", {
    method: "post",
    path: "/machines/{machineId}/boot-local",
    middleware: operator,
    request: { params },
    responses: { 200: json(machineSchema, "its next network boots lead to its disk") },
  });
  app.openapi(local, async (context) => {
    const { machineId } = context.req.valid("param");
    await bootFromDisk(store, actorOf(context), machineId);
    return context.json(await readMachine(store, machineId), 200);
  });

  const reinstall = route("operator", {
    method: "post",
    path: "/machines/{machineId}/reinstalls",
    middleware: operator,
    request: {
      params,
      headers: z.object({ "idempotency-key": z.string().min(1).max(128).optional() }),
      body: { required: true, ...json(requestReinstallSchema, "") },
    },
    responses: {
      200: json(reinstallSchema, "requested before, with the same Idempotency-Key"),
      201: json(reinstallSchema, "requested"),
    },
  });
  app.openapi(reinstall, async (context) => {
    const { machineId } = context.req.valid("param");
    const key = context.req.valid("header")["idempotency-key"] ?? null;
    const request = context.req.valid("json");
    if (request.powerCycle) await endpoint.power.requireAdapter(machineId);
    const { reinstall: made, isNew } = await requestReinstall(store, actorOf(context), machineId, request, key);
    if (!isNew) return context.json(made, 200);
    const job = request.powerCycle ? await endpoint.power.bootFromNetwork(actorOf(context), machineId, made.id) : null;
    return context.json({ ...made, powerJobId: job?.id ?? null }, 201);
  });

  const history = route("viewer", {
    method: "get",
    path: "/machines/{machineId}/reinstalls",
    middleware: viewer,
    request: { params },
    responses: { 200: json(z.object({ reinstalls: z.array(reinstallSchema) }), "the newest first") },
  });
  app.openapi(history, async (context) => {
    return context.json({ reinstalls: await listReinstalls(store, context.req.valid("param").machineId) }, 200);
  });

  const retry = route("operator", {
    method: "post",
    path: "/reinstalls/{reinstallId}/retry",
    middleware: operator,
    request: { params: reinstallParams },
    responses: { 200: json(reinstallSchema, "it has all its attempts again") },
  });
  app.openapi(retry, async (context) => {
    return context.json(await retryReinstall(store, actorOf(context), context.req.valid("param").reinstallId), 200);
  });

  const cancel = route("operator", {
    method: "delete",
    path: "/reinstalls/{reinstallId}",
    middleware: operator,
    request: { params: reinstallParams },
    responses: { 200: json(reinstallSchema, "cancelled: the disk is untouched") },
  });
  app.openapi(cancel, async (context) => {
    return context.json(await cancelReinstall(store, actorOf(context), context.req.valid("param").reinstallId), 200);
  });
}
