/** Who may do what, on every route there is. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createApi } from "../../src/control/server/api/app.ts";
import { createPages } from "../../src/control/server/pages.ts";
import { eachDatabase, openTestServe, type TestServe } from "../support/control-server.ts";
import type { Operation } from "../support/openapi.ts";
import { type EveryCaller, everyCaller, newToken, openSession, pathOf, readDescription } from "../support/security.ts";

const endless = { perSecond: 1e6, burst: 1e6 };
const limits = { machine: endless, stranger: endless, refused: endless };

/** Opens an endpoint whose clock can be set. */
async function openAll(open: typeof openTestServe) {
  let aheadMs = 0;
  const serve = await open({ limits, now: () => Date.now() + aheadMs });
  const callers = await everyCaller(serve, (ms) => {
    aheadMs = ms;
  });
  const { operations } = await readDescription(serve);
  const [open_, closed] = [operations.filter(isOpen), operations.filter((each) => !isOpen(each))];
  return { serve, callers, operations, open: open_, closed, [Symbol.asyncDispose]: () => serve[Symbol.asyncDispose]() };
}

const isOpen = ({ access }: Operation) => access === "anyone";

/** A request with a body that is well-formed JSON and says nothing: who may not is told so all the same. */
async function status(serve: TestServe, operation: Operation, machineId: string, headers: Record<string, string>) {
  const response = await fetch(`${serve.url}/api/v1${pathOf(operation, machineId)}`, {
    method: operation.method,
    headers: { ...headers, ...(operation.body === null ? {} : { "content-type": "application/json" }) },
    ...(operation.body === null ? {} : { body: "{}" }),
  });
  if (response.headers.get("content-type") === "text/event-stream") await response.body?.cancel();
  else await response.arrayBuffer();
  return `${operation.method} ${operation.path}: ${response.status}`;
}

async function expectAll(
  { serve, callers }: { serve: TestServe; callers: EveryCaller },
  operations: readonly Operation[],
  headers: Record<string, string>,
  expected: number,
  machineId = callers.machine.id,
) {
  expect(operations.length).toBeGreaterThan(3);
  for (const each of operations) {
    expect(await status(serve, each, machineId, headers)).toBe(`${each.method} ${each.path}: ${expected}`);
  }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("every route is described, with who may call it", async () => {
  await using serve = await openTestServe();
  const described = (await readDescription(serve)).operations;
  const names = described.map(({ method, path }) => `${method} ${path.replace(/\{(\w+)\}/g, ":$1")}`);
  const own = createApi(serve.serve.endpoint).routes.map(({ method, path }) => `${method} ${path}`);
  expect([...new Set(own)].filter((name) => !names.includes(name))).toEqual(["GET /openapi.json"]);
  for (const { access } of described) expect(["viewer", "operator", "admin", "machine", "anyone"]).toContain(access);
  const open = described.filter(isOpen).map(({ method, path }) => `${method} ${path}`);
  expect(open.sort()).toEqual(["GET /health", "POST /enrol", "POST /session"]);
  // Pages hold nothing that is not in the executable.
  expect(createPages().routes.every(({ method }) => method === "GET")).toBe(true);
});

eachDatabase("access", (openDatabase) => {
  test("no token, or one that does not count: 401 on every route", async () => {
    await using all = await openAll(openDatabase as typeof openTestServe);
    await expectAll(all, all.closed, {}, 401);
    for (const [why, token] of Object.entries(all.callers.useless)) {
      for (const operation of all.closed) {
        const answer = await status(all.serve, operation, all.callers.machine.id, bearer(token));
        expect(`${why}: ${answer}`).toBe(`${why}: ${operation.method} ${operation.path}: 401`);
      }
    }
  });

  test("a token in another place than the header is not looked at", async () => {
    await using all = await openAll(openDatabase as typeof openTestServe);
    const { admin } = all.callers;
    const places: Record<string, string>[] = [
      { authorization: admin },
      { authorization: `Basic ${btoa(`admin:${admin}`)}` },
      { authorization: `Bearer ${admin} ${admin}` },
      { authorization: `Bearer ${admin}, Bearer ${admin}` },
      { cookie: `reimage-session=${admin}`, "x-reimage": "1" },
      { cookie: `token=${admin}` },
      { "x-token": admin, "x-forwarded-user": "admin", "x-original-url": "/api/v1/health" },
    ];
    for (const headers of places) await expectAll(all, all.closed, headers, 401);
    for (const name of ["token", "access_token", "authorization", "Authorization"]) {
      const { status: answered } = await all.serve.api("GET", `/machines?${name}=${admin}`, undefined, null);
      expect(answered).toBe(401);
    }
  });

  test("a role does what it may, and no more", async () => {
    await using all = await openAll(openDatabase as typeof openTestServe);
    const { callers, closed } = all;
    const of = (...levels: string[]) => closed.filter(({ access }) => levels.includes(access));
    await expectAll(all, of("operator", "admin", "machine"), bearer(callers.viewer), 403);
    await expectAll(all, of("admin", "machine"), bearer(callers.operator), 403);
    await expectAll(all, of("machine"), bearer(callers.admin), 403);
    await expectAll(all, of("viewer", "operator", "admin"), bearer(callers.machine.token), 403);
    const allowed = async (operations: readonly Operation[], token: string) => {
      for (const each of operations) {
        const answer = await status(all.serve, each, callers.otherMachine.id, bearer(token));
        expect(answer).not.toMatch(/: (401|403)$/);
      }
    };
    await allowed(of("viewer"), callers.viewer);
    await allowed(of("viewer", "operator"), callers.operator);
    await allowed(
      of("viewer", "operator", "admin").filter(({ method }) => method !== "DELETE"),
      callers.admin,
    );
  });

  test("a machine touches only itself", async () => {
    await using all = await openAll(openDatabase as typeof openTestServe);
    const { machine, otherMachine } = all.callers;
    const words = all.closed.filter(({ access }) => access === "machine");
    const others = [otherMachine.id, otherMachine.id.toUpperCase(), "00000000-0000-4000-8000-000000000000", "", "x"];
    const tricks = [
      `${machine.id}%2f..%2f${otherMachine.id}`,
      `${otherMachine.id}%2f`,
      `${machine.id}%20`,
      `${machine.id}.`,
    ];
    for (const id of [...others, ...tricks].filter((each) => each !== "")) {
      await expectAll(all, words, bearer(machine.token), 403, id);
    }
    // Its own id in capitals is its own: the body is what is wrong here.
    await expectAll(all, words, bearer(machine.token), 400, machine.id.toUpperCase());
    await expectAll(all, words, bearer(machine.token), 400);
  });

  test("a session: in a cookie only, out of the reach of scripts and of other pages", async () => {
    await using all = await openAll(openDatabase as typeof openTestServe);
    const { serve } = all;
    const login = await serve.api("POST", "/session", { token: all.callers.operator }, null);
    expect(login.status).toBe(200);
    expect(JSON.stringify(login.body)).not.toContain("reimage-session");
    expect(login.headers.get("set-cookie")).toMatch(
      /^reimage-session=reimage-session-[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    const session = await openSession(serve, all.callers.operator);
    const cookie = { cookie: `reimage-session=${session}` };
    const ask = (method: string, path: string, headers = {}) =>
      serve.api(method, path, method === "GET" ? undefined : { id: "os-1" }, null, { ...cookie, ...headers });
    expect((await ask("GET", "/session")).body).toEqual({ name: "a-operator", role: "operator" });
    // A form, or a script, of another page cannot send the header.
    expect((await ask("PUT", "/images/os-1")).status).toBe(403);
    expect((await ask("PUT", "/images/os-1", { "x-reimage": "1" })).status).toBe(200);
    expect((await ask("POST", "/tokens", { "x-reimage": "1" })).status).toBe(403); // the role is the token's
    expect((await serve.api("GET", "/session", undefined, session)).status).toBe(401);
    expect((await ask("DELETE", "/session")).status).toBe(403);
    const logout = await ask("DELETE", "/session", { "x-reimage": "1" });
    expect(logout.status).toBe(204);
    expect(logout.headers.get("set-cookie")).toMatch(/^reimage-session=; Max-Age=0; Path=\//);
    expect((await ask("GET", "/session")).status).toBe(401);
  });

  test("a token that is revoked takes its sessions and streams along; one that expires too", async () => {
    let aheadMs = 0;
    await using serve = await openDatabase({ limits, now: () => Date.now() + aheadMs });
    const { id, token } = await newToken(serve, "viewer");
    const brief = await newToken(serve, "viewer", { expiresInSeconds: 60 });
    const [session, briefSession] = [await openSession(serve, token), await openSession(serve, brief.token)];
    const me = async (value: string) =>
      (await serve.api("GET", "/session", undefined, null, { cookie: `reimage-session=${value}` })).status;
    expect([await me(session), await me(briefSession)]).toEqual([200, 200]);
    const stream = await fetch(`${serve.url}/api/v1/stream`, { headers: { cookie: `reimage-session=${session}` } });
    const reader = stream.body?.getReader();
    await reader?.read(); // hello
    await serve.must("DELETE", `/tokens/${id}`);
    aheadMs = 61_000;
    expect([await me(session), await me(briefSession)]).toEqual([401, 401]);
    await serve.enrol(); // a change that would be told
    let told = "";
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done) break;
      told += Buffer.from(next.value).toString();
    }
    expect(told).not.toContain("machines");
    expect((await serve.api("POST", "/session", { token }, null)).status).toBe(401);
  });
});

test("what is found by a secret's SHA-256 is compared in constant time, everywhere", () => {
  const folder = join(import.meta.dir, "../../src/control/server");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const finding = files.filter((name) => {
    // What is looked up to be used, not to be deleted.
    const text = readFileSync(join(folder, name), "utf8");
    return /(code_sha256|secret_sha256)", "=", (?!tokenSha256)/.test(text) || /findToken\(/.test(text);
  });
  const comparing = (name: string) => /isSameSha256\(/.test(readFileSync(join(folder, name), "utf8"));
  expect(finding.filter((name) => !comparing(name) && !name.startsWith("database/"))).toEqual([]);
  expect(finding.filter(comparing).sort()).toEqual([
    "operations/enrolment.ts",
    "operations/tokens.ts",
    "security/principal.ts",
  ]);
  for (const name of files) {
    expect(readFileSync(join(folder, name), "utf8")).not.toMatch(
      /_sha256 *[!=]==? *(?!undefined|null)|[!=]== *\w+\.\w+_sha256/,
    );
  }
  expect(readFileSync(join(folder, "security/tokens.ts"), "utf8")).toContain("timingSafeEqual(left, right)");
});
