/** /runs, /audit and the stream: what has happened, and what happens now. */
import { z } from "zod";
import { asReimageError } from "../../../errors.ts";
import { auditEntrySchema } from "../../protocol/audit.ts";
import { machineIdSchema, runIdSchema } from "../../protocol/identity.ts";
import { runSchema, wireEventSchema, wireReportSchema } from "../../protocol/run.ts";
import { listAudit } from "../operations/audit.ts";
import { listEvents, listRuns, readRun, readRunReport } from "../operations/runs.ts";
import { type App, type Endpoint, guard, json, principalOf, route } from "./context.ts";
import { streamChanges } from "./stream.ts";

const params = z.object({ runId: runIdSchema });

export function addRunRoutes(app: App, endpoint: Endpoint): void {
  const { store } = endpoint;
  const viewer = guard(endpoint, "viewer");

  const runs = route("viewer", {
    method: "get",
    path: "/runs",
    middleware: viewer,
    request: {
      query: z.object({
        machine: machineIdSchema.optional(),
        limit: z.coerce.number().int().min(1).max(1000).default(100),
      }),
    },
    responses: { 200: json(z.object({ runs: z.array(runSchema) }), "the newest first") },
  });
  app.openapi(runs, async (context) => {
    const { machine, limit } = context.req.valid("query");
    return context.json({ runs: await listRuns(store, machine ?? null, limit) }, 200);
  });

  const run = route("viewer", {
    method: "get",
    path: "/runs/{runId}",
    middleware: viewer,
    request: { params },
    responses: { 200: json(runSchema, "the run") },
  });
  app.openapi(run, async (context) => context.json(await readRun(store, context.req.valid("param").runId), 200));

  const events = route("viewer", {
    method: "get",
    path: "/runs/{runId}/events",
    middleware: viewer,
    request: {
      params,
      query: z.object({
        after: z.coerce.number().int().min(0).default(0),
        limit: z.coerce.number().int().min(1).max(5000).default(1000),
      }),
    },
    responses: { 200: json(z.object({ events: z.array(wireEventSchema) }), "in the order of sequence numbers") },
  });
  app.openapi(events, async (context) => {
    const { after, limit } = context.req.valid("query");
    return context.json({ events: await listEvents(store, context.req.valid("param").runId, after, limit) }, 200);
  });

  const report = route("viewer", {
    method: "get",
    path: "/runs/{runId}/report",
    middleware: viewer,
    request: { params },
    responses: { 200: json(wireReportSchema, "report.json as it was sent") },
  });
  app.openapi(report, async (context) => {
    return context.json(await readRunReport(store, context.req.valid("param").runId), 200);
  });

  const audit = route("viewer", {
    method: "get",
    path: "/audit",
    middleware: viewer,
    request: {
      query: z.object({
        object: z.string().max(300).optional(),
        before: z.coerce.number().int().min(1).optional(),
        limit: z.coerce.number().int().min(1).max(1000).default(100),
      }),
    },
    responses: { 200: json(z.object({ entries: z.array(auditEntrySchema) }), "the newest first") },
  });
  app.openapi(audit, async (context) => {
    const { object, before, limit } = context.req.valid("query");
    const entries = await listAudit(store, { object: object ?? null, before: before ?? null, limit });
    return context.json({ entries }, 200);
  });

  const stream = route("viewer", {
    method: "get",
    path: "/stream",
    middleware: viewer,
    request: { query: z.object({ run: runIdSchema.optional(), after: z.coerce.number().int().min(0).default(0) }) },
    responses: {
      200: {
        description: "server-sent events: hello, machines (MachinesChanged), run-events (RunEventsMessage)",
        content: { "text/event-stream": { schema: z.string() } },
      },
    },
  });
  app.openapi(stream, (context) => {
    const isWelcome = () =>
      principalOf(context, endpoint).then(
        () => true,
        (error) => asReimageError(error).code !== "unauthorized",
      );
    const { run, after } = context.req.valid("query");
    return streamChanges(context, endpoint, run ?? null, after, isWelcome);
  });
}
