/** Power: begun for a machine, and looked at. */
import { z } from "zod";
import { machineIdSchema } from "../../protocol/identity.ts";
import { powerJobSchema, powerRequestSchema } from "../../protocol/power.ts";
import { readPowerJob } from "../operations/power.ts";
import { type App, actorOf, type Endpoint, guard, json, route } from "./context.ts";

export function addPowerRoutes(app: App, endpoint: Endpoint): void {
  const [viewer, operator] = [guard(endpoint, "viewer"), guard(endpoint, "operator")];

  const power = route("operator", {
    method: "post",
    path: "/machines/{machineId}/power",
    middleware: operator,
    request: {
      params: z.object({ machineId: machineIdSchema }),
      body: { required: true, ...json(powerRequestSchema, "") },
    },
    responses: { 202: json(powerJobSchema, "begun; ask for the job to see what became of it") },
  });
  app.openapi(power, async (context) => {
    const { machineId } = context.req.valid("param");
    const { action } = context.req.valid("json");
    return context.json(await endpoint.power.submit(actorOf(context), machineId, action), 202);
  });

  const job = route("viewer", {
    method: "get",
    path: "/power-jobs/{jobId}",
    middleware: viewer,
    request: { params: z.object({ jobId: z.string().max(64) }) },
    responses: { 200: json(powerJobSchema, "the job") },
  });
  app.openapi(job, async (context) =>
    context.json(await readPowerJob(endpoint.store, context.req.valid("param").jobId), 200),
  );
}
