/**
 * Requests made from the endpoint's own description: 5,000 in all; FUZZ_API_CASES for more, FUZZ_API_SEED for others. Never
 * is one answered with a 5xx, or with what the description does not say; and what there is stays in order.
 */
import { expect, test } from "bun:test";
import { apiErrorSchema } from "../../src/control/protocol/error.ts";
import type { Reinstall } from "../../src/control/protocol/reinstall.ts";
import { type ApiCase, type Callers, makeCase } from "../support/api-cases.ts";
import { eachDatabase, type TestServe } from "../support/control-server.ts";
import { type OpenApi, readOpenApi } from "../support/openapi.ts";
import type { Pools } from "../support/openapi-values.ts";
import { createRandom, type Random } from "../support/random.ts";

const CASES = Number(process.env.FUZZ_API_CASES ?? 5000) / 2;
const SEED = Number(process.env.FUZZ_API_SEED ?? 1);
/** Sent at the same time. */
const TOGETHER = 4;
const ROUND = 100;
const MACHINES = 5;

/** Nothing is too often here. */
const endless = { perSecond: 1e6, burst: 1e6 };
const limits = { machine: endless, stranger: endless, refused: endless };

async function callersOf(serve: TestServe): Promise<Callers> {
  const token = async (role: string) =>
    (await serve.must<{ token: string }>("POST", "/tokens", { name: role, role })).token;
  const machines = new Map<string, string>();
  for (let n = 0; n < MACHINES; n += 1) {
    const { id, token: secret } = await serve.enrol();
    machines.set(id, secret);
  }
  return { admin: serve.adminToken, operator: await token("operator"), viewer: await token("viewer"), machines };
}

/** What there is now. The machines that have tokens are not for deletion: the next rounds need them. */
async function lookAround(serve: TestServe, random: Random, runIds: readonly string[]): Promise<Pools> {
  const { machines } = await serve.must<{ machines: { id: string; macs: string[] }[] }>("GET", "/machines");
  const { tokens } = await serve.must<{ tokens: { id: string; name: string }[] }>("GET", "/tokens");
  const made = tokens.filter(({ name }) => !["first", "operator", "viewer"].includes(name)).map(({ id }) => id);
  const { images } = await serve.must<{ images: { id: string }[] }>("GET", "/images");
  const { configurations } = await serve.must<{ configurations: { name: string }[] }>("GET", "/boot-configurations");
  const reinstalls: Reinstall[] = [];
  for (const { id } of machines.slice(0, 40)) reinstalls.push(...(await readReinstalls(serve, id)));
  const open = reinstalls.filter(({ endedAt }) => endedAt === null);
  return {
    MachineId: machines.slice(0, 40).map(({ id }) => id),
    RunId: runIds,
    ImageId: images.slice(0, 10).map(({ id }) => id),
    Name: configurations.slice(0, 10).map(({ name }) => name),
    Mac: machines.flatMap(({ macs }) => macs).slice(0, 20),
    text: [...open, ...reinstalls.slice(0, 5)].map(({ id }) => id).concat(made.slice(-2), random.pick(machines).id),
  };
}

async function readReinstalls(serve: TestServe, machineId: string): Promise<Reinstall[]> {
  return (await serve.must<{ reinstalls: Reinstall[] }>("GET", `/machines/${machineId}/reinstalls`)).reinstalls;
}

/** What only succeeds with a secret, a machine controller, or a state that chance seldom makes; other tests see to it. */
const needsMore = [
  "POST /session",
  "POST /machines/{machineId}/approve",
  "POST /machines/{machineId}/power",
  "GET /power-jobs/{jobId}",
  "POST /reinstalls/{reinstallId}/retry",
];

interface Judged {
  readonly status: number;
  readonly wrong: readonly string[];
}

async function send(api: OpenApi, serve: TestServe, made: ApiCase): Promise<Judged> {
  const { operation, path, headers, body, isGood } = made;
  const stop = new AbortController();
  const response = await fetch(`${serve.url}/api/v1${path}`, {
    method: operation.method,
    headers,
    signal: stop.signal,
    ...(body === null ? {} : { body }),
  });
  const { status } = response;
  if (response.headers.get("content-type") === "text/event-stream") {
    stop.abort(); // it has no end
    return { status, wrong: operation.path === "/stream" && status === 200 ? [] : ["a stream"] };
  }
  const text = await response.text();
  const wrong: string[] = [];
  if (status >= 500) wrong.push(`${status}`);
  const isRightAddress = isGood || operation.answers.has(status) || status === 405;
  if (!isRightAddress) wrong.push(`${status} is not described`);
  if (isGood && [400, 401, 413, 415, 429].includes(status)) wrong.push(`${status} to what is allowed`);
  if (status === 204) return { status, wrong: text === "" ? wrong : [...wrong, "204 with a body"] };
  const answer = readJson(text);
  if (status >= 300) {
    if (!apiErrorSchema.strict().safeParse(answer).success) wrong.push(`no error: ${text.slice(0, 200)}`);
    return { status, wrong };
  }
  const schema = operation.answers.get(status);
  if (schema === undefined) return { status, wrong: [...wrong, `${status} is not described`] };
  if (schema !== null) wrong.push(...api.problems(schema, answer));
  return { status, wrong };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What must be so at any time. */
async function expectOrder(serve: TestServe, api: OpenApi): Promise<void> {
  const { machines } = await serve.must<{ machines: { id: string; reinstall: { id: string } | null }[] }>(
    "GET",
    "/machines?limit=10000",
  );
  const machine = api.operations.find(({ method, path }) => method === "GET" && path === "/machines/{machineId}");
  for (const { id, reinstall } of machines) {
    const open = (await readReinstalls(serve, id)).filter(({ endedAt }) => endedAt === null);
    expect(open.map((each) => each.id)).toEqual(reinstall === null ? [] : [reinstall.id]);
    for (const { state, attempt, mostAttempts } of open) {
      expect(["succeeded", "aborted"]).not.toContain(state);
      expect(attempt).toBeLessThanOrEqual(mostAttempts + 1);
    }
    const read = await serve.must("GET", `/machines/${id}`);
    expect(api.problems(machine?.answers.get(200) ?? {}, read)).toEqual([]);
  }
}

eachDatabase("the API", (open) => {
  test(`takes ${CASES} requests of all kinds`, async () => {
    await using serve = await open({ limits });
    const random = createRandom(SEED);
    const api = readOpenApi(await (await fetch(`${serve.url}/api/v1/openapi.json`)).json());
    expect(api.operations.length).toBeGreaterThan(35);
    const callers = await callersOf(serve);
    for (const id of ["os-1", "os-2"]) await serve.must("PUT", `/images/${id}`, { id });
    for (const name of ["reimage", "rescue"])
      await serve.must("PUT", `/boot-configurations/${name}`, { name, kind: "local" });
    const runIds = Array.from({ length: 12 }, (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);
    const statuses = new Map<number, number>();
    const succeeded = new Set<string>();
    const startBytes = process.memoryUsage().rss;
    for (let sent = 0; sent < CASES; sent += ROUND) {
      const pools = await lookAround(serve, random, runIds);
      for (let n = 0; n < ROUND; n += TOGETHER) {
        const batch = Array.from({ length: TOGETHER }, () => makeCase(api, random, pools, callers));
        const kept = batch.filter((made) => !losesCallers(made, callers));
        const judged = await Promise.all(kept.map((made) => send(api, serve, made)));
        judged.forEach(({ status, wrong }, index) => {
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          const { operation, path, body } = kept[index] as ApiCase;
          if (status < 300) succeeded.add(`${operation.method} ${operation.path}`);
          const what = `${operation.method} ${path.slice(0, 300)} ${String(body).slice(0, 1500)}: ${status} ${wrong.join("; ")}`;
          if (wrong.length > 0)
            throw new Error(`FUZZ_API_SEED=${SEED}, after ${sent + n}: ${what}\n${serve.log.join("\n")}`);
        });
      }
      if (sent % 500 === 0) await expectOrder(serve, api);
    }
    await expectOrder(serve, api);
    // Otherwise it would have tested nothing.
    for (const status of [200, 201, 204, 400, 401, 403, 404, 409]) expect(statuses.get(status) ?? 0).toBeGreaterThan(4);
    const barren = api.operations.map(({ method, path }) => `${method} ${path}`).filter((each) => !succeeded.has(each));
    expect(barren.filter((each) => !needsMore.includes(each))).toEqual([]);
    expect(serve.log.filter((line) => !line.startsWith("the first admin token"))).toEqual([]);
    expect((await serve.api("GET", "/health")).status).toBe(200);
    Bun.gc(true);
    expect(process.memoryUsage().rss - startBytes).toBeLessThan(400 * 2 ** 20);
  }, 600_000);
});

/** Deleting a machine, or giving it another token, takes a caller away. */
function losesCallers({ operation, path }: ApiCase, callers: Callers): boolean {
  if (operation.method !== "DELETE") return false;
  return [...callers.machines.keys()].some((id) => path.toLowerCase() === `/machines/${id}`);
}
