/** metal-core: what the reimager in the initramfs speaks. Errors that have no status of their own on a route are 500. */
import type { Context } from "hono";
import { type ErrorCode, ReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";
import type { App } from "../../api/context.ts";
import { ASK_FIRST } from "../../decisions/render-boot.ts";
import { type MetalStatus, metalProblem, refuse } from "./answers.ts";
import { abortSchema, registerSchema, reportSchema } from "./bodies.ts";
import { readFields } from "./fields.ts";
import type { MetalContext } from "./metal-context.ts";
import { registerMachine } from "./registration.ts";
import { describeMachine, facadeActor, machineOf, readEvent, waitForMark } from "./requests.ts";
import { viewBootInfo } from "./view.ts";
import { abortReinstall, beginAttempt, bootMachine, takeEvent, takeFailure, takeInstalled } from "./word.ts";

/** A route whose errors are answered as `statuses` say, and with 500 where they say nothing. */
function answering(
  { endpoint }: MetalContext,
  statuses: Partial<Record<ErrorCode, MetalStatus>>,
  answer: (context: Context) => Promise<Response>,
) {
  return async (context: Context): Promise<Response> => {
    try {
      return await answer(context);
    } catch (error) {
      return metalProblem(context, error, endpoint.onError, (code) => statuses[code] ?? 500);
    }
  };
}

export function addCoreRoutes(app: App, metal: MetalContext): void {
  const { store } = metal.endpoint;

  // An empty answer means: do not boot from the network.
  app.get("/v1/boot/:mac", async (context) => {
    const mac = normalizeMac(context.req.param("mac"));
    const answer = mac === null ? null : await bootMachine(store, facadeActor(context), mac);
    if (answer === null || answer.configuration.kind !== "linux") return context.body(null, 200);
    const { kernel, initrd, cmdline } = answer.configuration;
    return context.json(
      { kernel, initrd, cmdline: answer.isReinstall ? `${cmdline} ${ASK_FIRST}`.trim() : cmdline },
      200,
    );
  });

  // Whatever becomes of the event, the machine gets its address.
  app.get("/v1/dhcp/:id", async (context) => {
    try {
      const machineId = await machineOf(context, store);
      const sent = { event: "PXE Booting" as const, message: "machine sent extended dhcp request", timeMs: null };
      await store.write(facadeActor(context), (scope) => takeEvent(scope, machineId, sent));
    } catch (error) {
      if (!(error instanceof ReimageError && error.code === "not-found")) metal.endpoint.onError(error);
    }
    return context.json({}, 200);
  });

  app.get(
    "/machine/:id",
    answering(metal, {}, async (context) => {
      try {
        return context.json(await describeMachine(store, await machineOf(context, store)), 200);
      } catch (error) {
        if (error instanceof ReimageError && error.code === "not-found") {
          return refuse(context, 500, "Failed to find machine");
        }
        throw error;
      }
    }),
  );

  app.post(
    "/machine/register/:id",
    answering(metal, { invalid: 400 }, async (context) => {
      const body = await readFields(context, registerSchema);
      const id = context.req.param("id") ?? "";
      await registerMachine(store, facadeActor(context), id, body);
      return context.json(await describeMachine(store, id.toLowerCase()), 200);
    }),
  );

  app.get(
    "/machine/install/:id",
    answering(metal, { "not-found": 404 }, async (context) => {
      const machineId = await machineOf(context, store);
      if (!(await waitForMark(metal, context, machineId))) return context.body(null, 304);
      const machine = await describeMachine(store, machineId);
      if (!isComplete(machine)) return refuse(context, 417, "its image has no url that it could be fetched from");
      const refusal = await store.write(facadeActor(context), (scope) => beginAttempt(scope, machineId));
      if (refusal !== null) throw new ReimageError("conflict", `machine ${machineId} must not be written: ${refusal}`);
      return context.json(machine, 200);
    }),
  );

  app.post(
    "/machine/report/:id",
    answering(metal, {}, async (context) => {
      const body = await readFields(context, reportSchema);
      const machineId = await machineOf(context, store);
      if (!body.success) {
        await takeFailure(store, facadeActor(context), machineId, body.message);
        return refuse(context, 406, `the failure is recorded: ${body.message}`);
      }
      await takeInstalled(store, facadeActor(context), machineId, body);
      return context.body(null, 200);
    }),
  );

  app.post(
    "/machine/abort-reinstall/:id",
    answering(metal, { invalid: 400 }, async (context) => {
      const { primarydiskwiped } = await readFields(context, abortSchema);
      const machineId = await findOrFail(context, metal);
      const bootInfo = await abortReinstall(store, facadeActor(context), machineId, primarydiskwiped);
      return context.json(viewBootInfo(bootInfo), 200);
    }),
  );

  app.post(
    "/machine/:id/event",
    answering(metal, { "not-found": 404 }, async (context) => {
      const machineId = await machineOf(context, store);
      const sent = await readEvent(context);
      await store.write(facadeActor(context), (scope) => takeEvent(scope, machineId, sent));
      return context.body(null, 200);
    }),
  );
}

async function findOrFail(context: Context, { endpoint }: MetalContext): Promise<string> {
  try {
    return await machineOf(context, endpoint.store);
  } catch (cause) {
    if (!(cause instanceof ReimageError && cause.code === "not-found")) throw cause;
    throw new ReimageError("not-found", `Failed to abort reinstall: ${cause.message}`, { cause });
  }
}

function isComplete(machine: Readonly<Record<string, unknown>>): boolean {
  const allocation = machine.allocation as { image: { url: string } | null } | null;
  return allocation?.image != null && allocation.image.url !== "";
}
