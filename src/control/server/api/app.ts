/** /api/v1, as one application: all routes, their description, and what is answered where there is none. */
import { sql } from "kysely";
import { z } from "zod";
import { ReimageError } from "../../../errors.ts";
import { version } from "../../../version.ts";
import { asStoreError } from "../database/store.ts";
import { addAccessRoutes } from "./access-routes.ts";
import { type App, createApp, type Endpoint, json, route } from "./context.ts";
import { addLibraryRoutes } from "./library-routes.ts";
import { addMachineRoutes } from "./machine-routes.ts";
import { addPowerRoutes } from "./power-routes.ts";
import { problem } from "./problems.ts";
import { addRunRoutes } from "./run-routes.ts";
import { addWordRoutes } from "./word-routes.ts";

/** Where the API lies. */
export const API_PATH = "/api/v1";

/** The routes of /api/v1; mounted by serve. */
export function createApi(endpoint: Endpoint): App {
  const app = createApp();
  addHealth(app, endpoint);
  addAccessRoutes(app, endpoint);
  addMachineRoutes(app, endpoint);
  addWordRoutes(app, endpoint);
  addLibraryRoutes(app, endpoint);
  addRunRoutes(app, endpoint);
  addPowerRoutes(app, endpoint);
  app.openAPIRegistry.registerComponent("securitySchemes", "token", { type: "http", scheme: "bearer" });
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: { title: "reimage control endpoint", version },
    servers: [{ url: API_PATH }],
  });
  return app;
}

/** What all applications of the endpoint answer to errors, and where there is no route. */
export function addProblems(app: App, endpoint: Pick<Endpoint, "onError">): void {
  app.onError((error, context) => problem(context, asStoreError(error), endpoint.onError));
  app.notFound((context) => {
    const { method, path } = context.req;
    const error = new ReimageError("not-found", `there is no ${method} ${path.slice(0, 200)}`);
    return problem(context, error, endpoint.onError);
  });
}

function addHealth(app: App, { store }: Endpoint): void {
  const health = route("anyone", {
    method: "get",
    path: "/health",
    responses: { 200: json(z.object({ status: z.literal("ok"), version: z.string() }), "the database answers too") },
  });
  app.openapi(health, async (context) => {
    try {
      await sql`select 1`.execute(store.db);
    } catch (cause) {
      throw new ReimageError("unavailable", "the database does not answer", { cause });
    }
    return context.json({ status: "ok" as const, version }, 200);
  });
}
