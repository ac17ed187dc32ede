/** /api/v1, as one application: all routes, their description, and what is answered where there is none. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { methodNotAllowed } from "hono/method-not-allowed";
import { sql } from "kysely";
import { z } from "zod";
import { asReimageError, ReimageError } from "../../../errors.ts";
import { version } from "../../../version.ts";
import type { ApiError } from "../../protocol/error.ts";
import { asStoreError } from "../database/failures.ts";
import { plainAddresses, secureAnswers } from "../security/answers.ts";
import { addAccessRoutes } from "./access-routes.ts";
import { type App, createApp, type Endpoint, json, route } from "./context.ts";
import { addDocument } from "./document.ts";
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
  addDocument(app, API_PATH);
  return app;
}

/** What holds for every request, whatever its route; before any route is added. */
export function addProtections(app: App): void {
  app.use(secureAnswers, plainAddresses);
  const onMethodNotAllowed = (context: Context, methods: readonly string[]) => {
    const message = `${context.req.path.slice(0, 200)} knows no ${context.req.method}`;
    const error = { code: "method-not-allowed", message } satisfies ApiError;
    return context.json(error, 405, { Allow: methods.join(", ") });
  };
  app.use(methodNotAllowed({ app, onMethodNotAllowed }));
}

/** What all applications of the endpoint answer to errors, and where there is no route. */
export function addProblems(app: App, endpoint: Pick<Endpoint, "onError" | "limiter">): void {
  app.onError((error, context) => {
    if (error instanceof HTTPException) return problem(context, error, endpoint.onError);
    const thrown = countRefusal(endpoint, context.env?.address ?? null, asStoreError(error));
    return problem(context, thrown, endpoint.onError);
  });
  app.notFound((context) => {
    const { method, path } = context.req;
    const error = new ReimageError("not-found", `there is no ${method} ${path.slice(0, 200)}`);
    return problem(context, error, endpoint.onError);
  });
}

/** What to answer instead of 401 where this address has been told so too often. */
function countRefusal(
  { limiter }: Pick<Endpoint, "limiter">,
  address: string | null,
  error: ReimageError,
): ReimageError {
  if (error.code !== "unauthorized") return error;
  try {
    limiter.refused(address);
    return error;
  } catch (tooOften) {
    return asReimageError(tooOften);
  }
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
