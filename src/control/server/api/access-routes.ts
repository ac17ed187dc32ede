/** /session, /tokens and /enrolment-codes: who may do what. */
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import {
  codeSchema,
  createCodeSchema,
  createTokenSchema,
  newTokenSchema,
  roles,
  tokenInfoSchema,
} from "../../protocol/enrolment.ts";
import { createEnrolmentCode } from "../operations/enrolment.ts";
import { closeSession, createToken, listTokens, openSession, revokeToken } from "../operations/tokens.ts";
import { MOST_LOGIN_BYTES } from "../security/limits.ts";
import { type App, actorOf, type Endpoint, guard, json, route, SESSION_COOKIE } from "./context.ts";

const who = z.object({ name: z.string(), role: z.enum(roles) }).meta({ id: "Who" });

export function addAccessRoutes(app: App, endpoint: Endpoint): void {
  const { store, isTls } = endpoint;
  const [viewer, admin] = [guard(endpoint, "viewer"), guard(endpoint, "admin")];

  const login = route("anyone", {
    method: "post",
    path: "/session",
    middleware: guard(endpoint, "anyone", MOST_LOGIN_BYTES),
    request: { body: { required: true, ...json(z.strictObject({ token: z.string().min(1).max(256) }), "") } },
    responses: { 200: json(who, "the cookie is set") },
  });
  app.openapi(login, async (context) => {
    endpoint.limiter.secretBearer(context.env?.address ?? null);
    const { token } = context.req.valid("json");
    const { session, name, role, seconds } = await openSession(store, actorOf(context), token);
    setCookie(context, SESSION_COOKIE, session, {
      httpOnly: true,
      sameSite: "Strict",
      secure: isTls,
      path: "/",
      maxAge: seconds,
    });
    return context.json({ name, role }, 200);
  });

  const me = route("viewer", {
    method: "get",
    path: "/session",
    middleware: viewer,
    responses: { 200: json(who, "who asks") },
  });
  app.openapi(me, (context) => {
    const principal = context.get("principal");
    const [name, role] = principal.kind === "admin" ? [principal.name, principal.role] : ["", "viewer" as const];
    return context.json({ name, role }, 200);
  });

  const logout = route("viewer", {
    method: "delete",
    path: "/session",
    middleware: viewer,
    responses: { 204: { description: "the session is closed" } },
  });
  app.openapi(logout, async (context) => {
    const session = getCookie(context, SESSION_COOKIE);
    if (session !== undefined) await closeSession(store, actorOf(context), session);
    deleteCookie(context, SESSION_COOKIE, { path: "/", secure: isTls });
    return context.body(null, 204);
  });

  const tokens = route("admin", {
    method: "get",
    path: "/tokens",
    middleware: admin,
    responses: { 200: json(z.object({ tokens: z.array(tokenInfoSchema) }), "without the tokens themselves") },
  });
  app.openapi(tokens, async (context) => context.json({ tokens: await listTokens(store) }, 200));

  const create = route("admin", {
    method: "post",
    path: "/tokens",
    middleware: admin,
    request: { body: { required: true, ...json(createTokenSchema, "") } },
    responses: { 201: json(newTokenSchema, "the only time that the token is told") },
  });
  app.openapi(create, async (context) => {
    return context.json(await createToken(store, actorOf(context), context.req.valid("json")), 201);
  });

  const revoke = route("admin", {
    method: "delete",
    path: "/tokens/{tokenId}",
    middleware: admin,
    request: { params: z.object({ tokenId: z.string().max(64) }) },
    responses: { 204: { description: "revoked" } },
  });
  app.openapi(revoke, async (context) => {
    await revokeToken(store, actorOf(context), context.req.valid("param").tokenId);
    return context.body(null, 204);
  });

  const code = route("admin", {
    method: "post",
    path: "/enrolment-codes",
    middleware: admin,
    request: { body: { required: true, ...json(createCodeSchema, "") } },
    responses: { 201: json(codeSchema, "the only time that the code is told") },
  });
  app.openapi(code, async (context) => {
    const { machineId, expiresInSeconds } = context.req.valid("json");
    const options = { machineId: machineId ?? null, expiresInSeconds };
    return context.json(await createEnrolmentCode(store, actorOf(context), options), 201);
  });
}
