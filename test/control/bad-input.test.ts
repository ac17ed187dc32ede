/** Requests that no honest client sends: methods, addresses, bodies. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { apiErrorSchema } from "../../src/control/protocol/error.ts";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { eachDatabase, event, goodReport, openTestServe, type TestServe } from "../support/control-server.ts";
import type { OpenApi, Schema } from "../support/openapi.ts";
import { validValue } from "../support/openapi-values.ts";
import { createRandom } from "../support/random.ts";
import { rawRequest } from "../support/raw-request.ts";
import { newToken, pathOf, readDescription } from "../support/security.ts";

const endless = { perSecond: 1e6, burst: 1e6 };
const limits = { machine: endless, stranger: endless, refused: endless };
const id = "6b1f4cf4-59a7-4fe8-9a3f-d3b8a1d0a001";

test("another method: 405 and which ones there are; HEAD as GET; no other origin is let in", async () => {
  await using serve = await openTestServe({ limits });
  const { operations } = await readDescription(serve);
  const methodsOf = new Map<string, string[]>();
  for (const { path, method } of operations) methodsOf.set(path, [...(methodsOf.get(path) ?? []), method]);
  expect(methodsOf.size).toBeGreaterThan(25);
  for (const [path, methods] of methodsOf) {
    const url = `${serve.url}/api/v1${path.replace(/\{\w+\}/g, id)}`;
    const known = [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])];
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]) {
      if (known.includes(method)) continue;
      const headers = { origin: "https://elsewhere.example", "access-control-request-method": "POST" };
      const response = await fetch(url, { method, headers });
      expect(`${method} ${path}: ${response.status}`).toBe(`${method} ${path}: 405`);
      expect(response.headers.get("allow")?.split(", ").sort()).toEqual(known.sort());
      expect([...response.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
      const text = await response.text();
      if (method !== "HEAD") expect(apiErrorSchema.parse(JSON.parse(text)).code).toBe("method-not-allowed");
    }
  }
  const headers = { authorization: `Bearer ${serve.adminToken}` };
  const head = await fetch(`${serve.url}/api/v1/machines`, { method: "HEAD", headers });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect((await fetch(`${serve.url}/api/v1/machines`, { method: "HEAD" })).status).toBe(401);
  expect((await serve.api("GET", "/nothing")).status).toBe(404);
  expect((await serve.api("GET", `/stream?run=${id}`)).status).toBe(404);
  expect((await serve.api("GET", `/machines?query=${"a".repeat(5000)}`)).status).toBe(413);
  expect((await serve.api("GET", `/machines?query=${"a".repeat(20_000)}`)).status).toBe(431);
});

test("every answer says that it is not to be kept, guessed at or framed", async () => {
  await using serve = await openTestServe({ limits });
  const { operations } = await readDescription(serve);
  const headers = { authorization: `Bearer ${serve.adminToken}`, origin: "https://elsewhere.example" };
  const paths = operations.filter(({ method }) => method === "GET").map((each) => `/api/v1${pathOf(each, id)}`);
  const more = [
    "/",
    "/nothing",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/dashboard.js",
    `/${"a".repeat(5000)}`,
    "/%00",
  ];
  for (const path of [...paths, ...more]) {
    for (const init of [{ headers }, {}, { method: "PUT" }]) {
      const response = await fetch(`${serve.url}${path}`, init);
      await response.body?.cancel();
      const get = (name: string) => response.headers.get(name);
      expect([get("x-content-type-options"), get("x-frame-options")]).toEqual(["nosniff", "DENY"]);
      expect(get("content-security-policy")).toContain("default-src 'none'");
      expect(get("referrer-policy")).toBe("no-referrer");
      expect(get("access-control-allow-origin")).toBeNull();
      const isPage = response.ok && !paths.includes(path) && !path.endsWith(".json");
      expect(get("cache-control")).toBe(
        isPage ? "no-cache" : path.endsWith("/stream") && response.ok ? "no-cache" : "no-store",
      );
    }
  }
});

test("no spelling of an address leads past the door", async () => {
  await using serve = await openTestServe({ limits });
  const viewer = (await newToken(serve, "viewer")).token;
  const spellings = [
    ...["/api/v1/tokens", "/api/v1/machines/../tokens", "/api/v1/machines/%2e%2e/tokens", "/api/v1/.%2e/v1/tokens"],
    ...["/api/v1/health/../tokens", "/api/v1/openapi.json/../tokens", "/api/v1/docs/..%2ftokens", "/api/v1/./tokens"],
    ...[
      "//api/v1/tokens",
      "/api//v1/tokens",
      "/api/v1//tokens",
      "/api/v1/tokens/",
      "/api/v1/tokens//",
      "/API/V1/TOKENS",
    ],
    ...["/api/v1/%74okens", "/api/v1/%2574okens", "/api/v1/tokens%00", "/api/v1/tokens%2f", "/api/v1/tokens%20"],
    ...["/api/v1/tokens;a=b", "/api/v1/tokens?", "/api/v1/tokens#x", "/api/v1/tokens%23", "/api/v1\\tokens"],
    ...[
      "/api/v1/tokens%c0%ae",
      "/api/v1/tok%e9ns",
      "/api/v1/tokens.json",
      "/api/v1/%EF%BC%8Ftokens",
      "/%2e/api/v1/tokens",
    ],
    ...["http://127.0.0.1/api/v1/tokens", "http://elsewhere.example/api/v1/tokens", "*", "/api/v1/tokens\tx", ""],
    ...[`/api/v1/${"../".repeat(500)}api/v1/tokens`, `/api/v1/${"a".repeat(10_000)}`, "/dashboard.js/../api/v1/tokens"],
    ...[
      "/../../../../etc/passwd",
      "/%2e%2e/%2e%2e/etc/passwd",
      "/dashboard.js%00",
      "/..%2fpackage.json",
      "/admin.token",
    ],
  ];
  for (const path of spellings) {
    for (const token of [null, "wrong", viewer]) {
      const authorization = token === null ? "" : `Authorization: Bearer ${token}\r\n`;
      const { status, text } = await rawRequest(serve.url, `GET ${path} HTTP/1.1\r\nHost: x\r\n${authorization}\r\n`);
      // 200 is an answer to `*` and the like: the dashboard, which anybody may load.
      const isPage = status === 200 && /<!doctype html>/i.test(text);
      if (!isPage) expect([0, 400, 401, 403, 404, 405, 413, 431, 505]).toContain(status);
      expect(text).not.toContain("createdAt");
      expect(text).not.toContain("root:");
    }
  }
  for (const header of ["X-Original-URL: /api/v1/health", "X-Rewrite-URL: /", "X-HTTP-Method-Override: GET"]) {
    const bytes = `GET /api/v1/tokens HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`;
    expect((await rawRequest(serve.url, bytes)).status).toBe(401);
  }
});

test("requests that could mean two things are refused, and the next one is not read out of their middle", async () => {
  await using serve = await openTestServe({ limits });
  const head = "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  const smuggled = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
  const double = [
    `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `${head}Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}${smuggled}`,
    `${head}Content-Length: -1\r\n\r\n${smuggled}`,
    `${head}Content-Length: 0x10\r\n\r\n${smuggled}`,
    `${head}Transfer-Encoding: chunked\r\n\r\n-1\r\n${smuggled}`,
    `${head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n${smuggled}`,
    `GET /api/v1/health HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n`,
    "GET /api/v1/health\r\n\r\n",
    "\0\0\0\0\r\n\r\n",
  ];
  for (const bytes of double) {
    const { status, text } = await rawRequest(serve.url, bytes);
    expect([0, 400, 505]).toContain(status);
    expect(text).not.toContain('"status":"ok"');
  }
  expect((await serve.api("GET", "/health")).status).toBe(200);
});

const text = (content: string) => Buffer.from(content);
const latin = (content: string) => Buffer.from(content, "latin1");

/** Bodies for POST /machines: what is answered, and what is kept. */
const bodies: readonly [string, Uint8Array<ArrayBuffer>, number, object?][] = [
  [
    "the last of two keys counts, for the check as for what is kept",
    text(`{"id":"${id}","name":"-","name":"good"}`),
    201,
    { name: "good" },
  ],
  ["__proto__ is a key that is not known", text(`{"id":"${id}","__proto__":{"name":"x"}}`), 400],
  ["constructor too", text(`{"id":"${id}","constructor":{"prototype":{"name":"x"}}}`), 400],
  ["nested deeply", text(`{"id":"${id}","serial":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), 400],
  ["nested and not closed", text("[".repeat(500_000)), 400],
  ["a number beyond all measure", text(`{"id":"${id}","serial":1e400}`), 400],
  ["NaN", text(`{"id":"${id}","serial":NaN}`), 400],
  ["a byte order mark", text(`\ufeff{"id":"${id}"}`), 201],
  ["not UTF-8", latin(`{"id":"${id}","serial":"\xff\xfe"}`), 400],
  ["overlong UTF-8", latin(`{"id":"${id}","serial":"\xc0\x80"}`), 400],
  ["half of a surrogate pair", text(`{"id":"${id}","serial":"\\ud800x"}`), 201, { serial: "\ufffdx" }],
  ["UTF-16", Buffer.from(`{"id":"${id}"}`, "utf16le"), 400],
  ["gzip", Bun.gzipSync(`{"id":"${id}"}`), 400],
  ["nothing", text(""), 400],
  ["a text", text('"x"'), 400],
  ["null", text("null"), 400],
  ["two values", text(`{"id":"${id}"}{"id":"${id}"}`), 400],
  ["comments", text(`{"id":"${id}"/**/}`), 400],
  ["a comma too many", text(`{"id":"${id}",}`), 400],
  ["NUL, escaped", text(`{"id":"${id}","serial":"a\\u0000b"}`), 400],
  ["NUL, as it is", text(`{"id":"${id}","serial":"a\0b"}`), 400],
  ["NUL in a key", text(`{"id":"${id}","a\\u0000":"b"}`), 400],
  ["what looks like NUL", text(`{"id":"${id}","serial":"a\\\\u0000b"}`), 201, { serial: "a\\u0000b" }],
  [
    "control characters",
    text(`{"id":"${id}","serial":"\\u001b[2J\\u009b\\u202e"}`),
    201,
    { serial: "\x1b[2J\x9b\u202e" },
  ],
  ["SQL", text(`{"id":"${id}","serial":"'; drop table machines; --"}`), 201, { serial: "'; drop table machines; --" }],
];

eachDatabase("bodies", (open) => {
  test("are taken as what they say, or refused", async () => {
    await using serve = await open({ limits });
    for (const [what, body, expected, kept] of bodies) {
      const answer = await post(serve, "/machines", body, "application/json");
      expect(`${what}: ${answer.status}`).toBe(`${what}: ${expected}`);
      if (expected !== 201) expect(apiErrorSchema.strict().safeParse(answer.body).success).toBe(true);
      const { machines } = await serve.must<{ machines: Machine[] }>("GET", "/machines");
      expect(machines).toHaveLength(expected === 201 ? 1 : 0);
      if (kept !== undefined) expect(machines[0]).toMatchObject(kept);
      if (expected === 201) await serve.must("DELETE", `/machines/${id}`);
    }
    expect(({} as Record<string, unknown>).name).toBeUndefined();
    expect(serve.log.filter((line) => !line.includes("admin token"))).toEqual([]);
  });

  test("of another type are not read", async () => {
    await using serve = await open({ limits });
    const body = text(JSON.stringify({ id }));
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "json",
      "x",
    ]) {
      expect((await post(serve, "/machines", body, type)).status).toBe(415);
    }
    const head = `POST /api/v1/machines HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${serve.adminToken}`;
    const untyped = `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect((await rawRequest(serve.url, untyped)).status).toBe(415);
    expect((await post(serve, "/machines", body, "application/json; charset=utf-8")).status).toBe(201);
  });

  test("with a NUL in any text: refused from people, replaced in what a machine says; never a failure", async () => {
    await using serve = await open({ limits });
    const api = await readDescription(serve);
    const machine = await serve.enrol();
    const random = createRandom(3);
    const pools = { MachineId: [machine.id], RunId: [], ImageId: ["os-1"], Name: ["local"], Mac: [], text: [] };
    let tried = 0;
    for (const operation of api.operations) {
      if (operation.body === null) continue;
      for (const path of textsOf(api, operation.body)) {
        const body = structuredClone(validValue(api, operation.body, random, pools)) as Record<string, unknown>;
        put(body, path, "a\0b");
        const token = operation.access === "machine" ? machine.token : serve.adminToken;
        const answer = await serve.api(operation.method, pathOf(operation, machine.id), body, token);
        expect(`${operation.path} ${path.join(".")}: ${answer.status}`).toMatch(
          operation.access === "machine" ? /: [24]/ : /: 400$/,
        );
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(40);
    for (const { path, parameters } of api.operations) {
      for (const { name, in: place } of parameters.filter((each) => each.in !== "header")) {
        const named = path
          .replace(`{${name}}`, "a%00b")
          .replace(/\{machineId\}/, machine.id)
          .replace(/\{\w+\}/, "x");
        const answer = await serve.api("GET", place === "query" ? `${path}?${name}=a%00b` : named);
        expect(`${path} ${name}: ${answer.status}`).toBe(`${path} ${name}: 400`);
      }
    }
    const runId = randomUUID();
    const events = [event(1, { type: "step", message: "kernel: \0\0 line", "k\0ey": "\0" })];
    expect((await machine.post("events", { runId, events })).status).toBe(200);
    const report = goodReport("os\0-1", { outcome: "failed", stage: "wri\0te", reason: "it says \0" });
    expect((await machine.post("report", { runId, report, bootInfo: { image_id: "\0" } })).status).toBe(200);
    expect(await serve.must("GET", `/runs/${runId}`)).toMatchObject({ stage: "wri\ufffdte", reason: "it says \ufffd" });
    const kept = await serve.must<{ events: object[] }>("GET", `/runs/${runId}/events`);
    expect(kept.events).toEqual([
      { ...events[0], message: "kernel: \ufffd\ufffd line", "k\0ey": undefined, "k\ufffdey": "\ufffd" },
    ]);
  });
});

async function post(serve: TestServe, path: string, body: Uint8Array<ArrayBuffer>, type: string) {
  const headers = { authorization: `Bearer ${serve.adminToken}`, "content-type": type };
  const response = await fetch(`${serve.url}/api/v1${path}`, { method: "POST", body, headers });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

/** Where texts may stand in a body. */
function textsOf(api: OpenApi, reference: Schema, path: readonly string[] = []): string[][] {
  const schema = api.resolve(reference);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.flatMap((each) => textsOf(api, each, path));
  if ([schema.type].flat().includes("string")) return [[...path]];
  if (schema.items !== undefined) return textsOf(api, schema.items, [...path, "0"]);
  return Object.entries(schema.properties ?? {}).flatMap(([name, each]) => textsOf(api, each, [...path, name]));
}

/** Puts a value where `path` leads, making what is missing on the way. */
function put(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at: Record<string, unknown> = root;
  path.forEach((name, index) => {
    const isLast = index === path.length - 1;
    if (isLast) at[name] = value;
    else {
      if (typeof at[name] !== "object" || at[name] === null) at[name] = path[index + 1] === "0" ? [] : {};
      at = at[name] as Record<string, unknown>;
    }
  });
}
