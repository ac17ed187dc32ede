/** Two serve processes on one PostgreSQL, as behind a load balancer. */
import { afterAll, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Reinstall } from "../../src/control/protocol/reinstall.ts";
import { event, goodReport, oldOs } from "../support/control-server.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { openPostgresCluster, type PostgresCluster } from "../support/postgres.ts";
import { ask, type EnrolledMachine, enrolMachine, firstToken, must, startServe } from "../support/serve-process.ts";
import { expectAllStored, startSenders } from "../support/serve-process-senders.ts";
import { openStream } from "../support/serve-process-stream.ts";

const ROUNDS = 10;
const AT_ONCE = 8;

let cluster: Promise<PostgresCluster> | null = null;
afterAll(async () => void (await (await cluster)?.[Symbol.asyncDispose]()));

/** Both start at the same time, on an empty database. */
async function openTwo() {
  await using stack = new AsyncDisposableStack();
  cluster ??= openPostgresCluster();
  const { dir: dataDir } = stack.use(await temporaryDirectory());
  const databaseUrl = await (await cluster).createDatabase();
  const started = await Promise.allSettled([1, 2].map(() => startServe({ dataDir, databaseUrl })));
  for (const each of started) if (each.status === "fulfilled") stack.use(each.value);
  const [a, b] = started.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
  if (a === undefined || b === undefined) throw new Error("two were started");
  const admin = firstToken(dataDir);
  const owned = stack.move();
  const apis = [a.api, b.api];
  return {
    ...{ a, b, admin, apiOf: (turn: number) => apis[turn % apis.length] ?? a.api },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Two = Awaited<ReturnType<typeof openTwo>>;

/** The same request many times at once, to both by turns; returns the statuses in order. */
async function atOnce({ apiOf, admin }: Two, method: string, path: string, body: unknown, token = admin) {
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, (_, turn) => ask(method, apiOf(turn) + path, token, body)),
  );
  return answers.map((answer) => ({ status: answer?.status ?? 0, body: answer?.body }));
}

const look = (api: string, { id }: EnrolledMachine, admin: string) =>
  must<Machine>("GET", `${api}/machines/${id}`, admin);

async function reinstalling(two: Two) {
  const { a, admin } = two;
  await must("PUT", `${a.api}/images/os-2`, admin, { id: "os-2" });
  const machine = await enrolMachine(a.api, admin);
  await must("POST", `${a.api}/machines/${machine.id}/reinstalls`, admin, { imageId: "os-2" });
  const runId = randomUUID();
  const instruction = { runId, bootInfo: oldOs, isDiskNamed: false };
  const told = await must("POST", `${two.b.api}/machines/${machine.id}/instructions`, machine.token, instruction);
  expect(told).toMatchObject({ action: "reinstall", attempt: 1 });
  return { machine, runId };
}

test("both start at once on an empty database, and see the same", async () => {
  await using two = await openTwo();
  const { a, b, admin } = two;
  const tokens = await must<{ tokens: unknown[] }>("GET", `${b.api}/tokens`, admin);
  expect(tokens.tokens).toHaveLength(1);
  const machine = await enrolMachine(a.api, admin);
  expect(await look(b.api, machine, admin)).toEqual(await look(a.api, machine, admin));
  await must("PATCH", `${b.api}/machines/${machine.id}`, admin, { name: "anna" });
  expect((await look(a.api, machine, admin)).name).toBe("anna");
  // A token that is revoked at one is worth nothing at the other.
  const made = await must<{ id: string; token: string }>("POST", `${a.api}/tokens`, admin, {
    name: "x",
    role: "viewer",
  });
  expect((await ask("GET", `${b.api}/machines`, made.token))?.status).toBe(200);
  await must("DELETE", `${a.api}/tokens/${made.id}`, admin);
  expect((await ask("GET", `${b.api}/machines`, made.token))?.status).toBe(401);
}, 60_000);

test("of many requests to reinstall one machine, exactly one is taken", async () => {
  await using two = await openTwo();
  const { a, b, admin } = two;
  await must("PUT", `${a.api}/images/os-2`, admin, { id: "os-2" });
  const machine = await enrolMachine(a.api, admin);
  for (let round = 0; round < ROUNDS; round += 1) {
    const answers = await atOnce(two, "POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(AT_ONCE - 1).fill(409)]);
    const url = `${b.api}/machines/${machine.id}/reinstalls`;
    const { reinstalls } = await must<{ reinstalls: Reinstall[] }>("GET", url, admin);
    const open = reinstalls.filter(({ endedAt }) => endedAt === null);
    expect(open).toHaveLength(1);
    const cancelled = await atOnce(two, "DELETE", `/reinstalls/${open[0]?.id}`, undefined);
    expect(cancelled.map(({ status }) => status).sort()).toEqual([200, ...Array(AT_ONCE - 1).fill(409)]);
  }
}, 60_000);

test("names and cards are taken once, whoever is asked", async () => {
  await using two = await openTwo();
  for (let round = 0; round < ROUNDS; round += 1) {
    const mac = `52:54:00:00:00:${round.toString(16).padStart(2, "0")}`;
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, turn) => {
        const body = { id: randomUUID(), macs: [mac], name: `kiosk-${round}` };
        return ask("POST", `${two.apiOf(turn)}/machines`, two.admin, body);
      }),
    );
    expect(answers.map((answer) => answer?.status).sort()).toEqual([201, ...Array(AT_ONCE - 1).fill(409)]);
  }
}, 60_000);

test("a stream of one shows what is changed at the other", async () => {
  await using two = await openTwo();
  const { a, b, admin } = two;
  const machine = await enrolMachine(b.api, admin);
  await using stream = await openStream(`${a.api}/stream`, admin);
  const heard = stream.next("machines", ({ machines }) => machines.some(({ run }) => run?.what === "at the other"));
  const events = [event(1, { type: "progress", stage: "write", what: "at the other" })];
  await must("POST", `${b.api}/machines/${machine.id}/events`, machine.token, { runId: randomUUID(), events });
  await heard;
}, 60_000);

test("an abort and a report at once have one outcome", async () => {
  await using two = await openTwo();
  for (let round = 0; round < ROUNDS; round += 1) {
    const { machine, runId } = await reinstalling(two);
    const path = `/machines/${machine.id}`;
    const abort = { runId, target: { state: "untouched" }, reason: "asked by hand" };
    const report = { runId, report: goodReport("os-2"), bootInfo: { image_id: "os-2" } };
    const [aborts, reports] = await Promise.all([
      atOnce(two, "POST", `${path}/abort-reinstall`, abort, machine.token),
      atOnce(two, "POST", `${path}/report`, report, machine.token),
    ]);
    // Each is answered the same however often it comes.
    expect(new Set(aborts.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(new Set(reports.map((answer) => JSON.stringify(answer))).size).toBe(1);
    const url = `${two.b.api}${path}/reinstalls`;
    const { reinstalls } = await must<{ reinstalls: Reinstall[] }>("GET", url, two.admin);
    expect(reinstalls).toHaveLength(1);
    const state = reinstalls[0]?.state;
    expect(await look(two.a.api, machine, two.admin)).toMatchObject({ reinstall: null, configuration: "local" });
    expect(["succeeded", "aborted"]).toContain(state ?? "");
    const { entries } = await must<{ entries: { action: string }[] }>(
      "GET",
      `${two.a.api}/audit?object=machine:${machine.id}`,
      two.admin,
    );
    const ends = entries.filter(({ action }) => action === "reinstall.succeeded" || action === "reinstall.aborted");
    expect(ends).toHaveLength(1);
  }
}, 120_000);

test("machines that send to both by turns lose nothing, also when one process is killed", async () => {
  await using two = await openTwo();
  const machines = await Promise.all(Array.from({ length: 6 }, () => enrolMachine(two.a.api, two.admin)));
  await using senders = startSenders(machines, two.apiOf);
  await senders.taken(60);
  await two.b.kill();
  await senders.taken(60);
  await senders.finish();
  await expectAllStored(two.a.api, two.admin, senders);
}, 60_000);
