/** What the routes are handed, and how they are declared. */
import { createRoute, OpenAPIHono, type RouteConfig } from "@hono/zod-openapi";
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import type { z } from "zod";
import { ReimageError } from "../../../errors.ts";
import { apiErrorSchema } from "../../protocol/error.ts";
import type { EventBatch, EventReceipt } from "../../protocol/run.ts";
import type { Submit } from "../database/group-commit.ts";
import type { Actor, Store } from "../database/store.ts";
import type { SentEvents } from "../operations/events.ts";
import type { PowerService } from "../operations/power.ts";
import type { PxelinuxProjection } from "../pxelinux-projection.ts";
import { type Limiter, MOST_BODY_BYTES } from "../security/limits.ts";
import { type Access, findPrincipal, type Principal, requireAccess } from "../security/principal.ts";
import { readBody } from "../security/request-body.ts";

/** What serve opens once, and the routes use. */
export interface Endpoint {
  readonly store: Store;
  readonly takeEvents: Submit<SentEvents, EventReceipt>;
  readonly power: PowerService;
  /** Null: no pxelinux.cfg is kept here. */
  readonly pxelinux: PxelinuxProjection | null;
  /** Told of what was not expected. */
  readonly onError: (error: unknown) => void;
  /** Whether the dashboard's cookie travels over TLS only. */
  readonly isTls: boolean;
  readonly limiter: Limiter;
  /** Ends what would otherwise go on for ever, such as streams. */
  readonly stopping: AbortSignal;
}

export type { EventBatch };

/** Where a request came from, as the server sees it. */
export interface Bindings {
  readonly address: string | null;
}

export type App = OpenAPIHono<{ Bindings: Bindings; Variables: { principal: Principal } }>;
type AppContext = Context<{ Bindings: Bindings; Variables: { principal: Principal } }>;

/** The name of the dashboard's cookie. */
export const SESSION_COOKIE = "reimage-session";

/** Routes that answer a body they cannot read with 400 and what is wrong with it. */
export function createApp(): App {
  return new OpenAPIHono({
    defaultHook(result) {
      if (result.success) return;
      const problems = result.error.issues.slice(0, 5).map(({ path, message }) => {
        return path.length === 0 ? message : `${path.join(".")}: ${message}`;
      });
      throw new ReimageError("invalid", problems.join("; "));
    },
  });
}

/** A JSON body, or answer. */
export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { "application/json": { schema } } };
}

const refusals = {
  400: json(apiErrorSchema, "the request is malformed"),
  401: json(apiErrorSchema, "no token, or one that is not accepted"),
  403: json(apiErrorSchema, "the token is good, but not for this"),
  404: json(apiErrorSchema, "there is no such thing"),
  409: json(apiErrorSchema, "not in this state"),
  413: json(apiErrorSchema, "too large"),
  415: json(apiErrorSchema, "not JSON"),
  429: json(apiErrorSchema, "too many requests; Retry-After says when there may be more"),
  503: json(apiErrorSchema, "the database takes nothing now; try again"),
};

/** Declares a route: what it answers beside success, and who may call it. */
export function route<const R extends RouteConfig>(access: Access, config: R) {
  const security = access === "anyone" ? [] : [{ token: [] }];
  const responses = { ...refusals, ...config.responses } as R["responses"];
  return createRoute({ ...config, security, responses, "x-access": access });
}

/** Checks, before a route is called, who calls; then how much he sends, and what. */
export function guard(endpoint: Endpoint, access: Access, mostBodyBytes = MOST_BODY_BYTES) {
  return async (context: AppContext, next: () => Promise<void>): Promise<void> => {
    if (access !== "anyone") {
      const principal = await principalOf(context, endpoint);
      requireAccess(principal, access, context.req.param("machineId")?.toLowerCase() ?? null);
      endpoint.limiter.heard(principal);
      context.set("principal", principal);
    }
    // Other types are not read at all; the validator of the route refuses them.
    if (/json/i.test(context.req.header("content-type") ?? "")) {
      const text = await readBody(context.req.raw, mostBodyBytes, access === "machine");
      Object.assign(context.req.bodyCache, { text: Promise.resolve(text) }); // where Hono keeps what it has read
    }
    await next();
  };
}

/** @throws ReimageError `unauthorized` */
export async function principalOf(context: AppContext, { store }: Endpoint): Promise<Principal> {
  const header = context.req.header("Authorization");
  if (header !== undefined) {
    const token = /^Bearer ([!-~]{1,256})$/i.exec(header)?.[1];
    if (token === undefined) throw new ReimageError("unauthorized", "the Authorization header is not `Bearer TOKEN`");
    return await findPrincipal(store, token, "header");
  }
  const session = getCookie(context, SESSION_COOKIE);
  if (session === undefined) throw new ReimageError("unauthorized", "a token is needed: `Authorization: Bearer TOKEN`");
  const isReading = context.req.method === "GET" || context.req.method === "HEAD";
  if (!isReading && context.req.header("x-reimage") === undefined) {
    // A page of another origin cannot send this header without being allowed to.
    throw new ReimageError("forbidden", "with a session, requests that change something need the header x-reimage");
  }
  return await findPrincipal(store, session, "cookie");
}

/** Who is written into the audit. */
export function actorOf(context: AppContext): Actor {
  const principal = context.get("principal") as Principal | undefined;
  const address = context.env?.address ?? null;
  if (principal === undefined) return { name: "anyone", address };
  const name = principal.kind === "admin" ? `admin:${principal.name}` : `machine:${principal.machineId}`;
  return { name, address };
}
