/** PostgreSQL in trouble while machines send: crashed, and started again; there, and silent. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openStore } from "../../src/control/server/database/store.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { openPostgresCluster, type PostgresCluster } from "../support/postgres.ts";
import {
  ask,
  enrolMachine,
  firstToken,
  freePort,
  must,
  type ServeProcess,
  startServe,
} from "../support/serve-process.ts";
import { expectAllStored, startSenders } from "../support/serve-process-senders.ts";
import { openStream } from "../support/serve-process-stream.ts";

const MACHINES = 8;
const CRASHES = 3;

let cluster: Promise<PostgresCluster> | null = null;
afterAll(async () => void (await (await cluster)?.[Symbol.asyncDispose]()));

async function open() {
  await using stack = new AsyncDisposableStack();
  cluster ??= openPostgresCluster();
  const { dir: dataDir } = stack.use(await temporaryDirectory());
  const databaseUrl = await (await cluster).createDatabase();
  const serve = stack.use(await startServe({ dataDir, databaseUrl }));
  const admin = firstToken(dataDir);
  const machines = await Promise.all(Array.from({ length: MACHINES }, () => enrolMachine(serve.api, admin)));
  const owned = stack.move();
  return { serve, admin, machines, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits until serve says of itself that it is well, or not. */
async function untilHealthIs(serve: ServeProcess, status: 200 | 503): Promise<void> {
  for (;;) {
    const answer = await ask("GET", `${serve.api}/health`, null);
    if (answer?.status === status) {
      expect(answer.headers.get("retry-after")).toEqual(status === 503 ? expect.any(String) : null);
      return;
    }
    await Bun.sleep(20);
  }
}

/** The processes of PostgreSQL, the first one included. */
function processesOf({ pid }: PostgresCluster): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return [pid, ...children.filter((child) => child !== "").map(Number)];
}

function expectUnharmed(serve: ServeProcess, statuses: ReadonlyMap<number, number>): void {
  expect(serve.isAlive()).toBe(true);
  expect([...statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect(serve.log()).not.toMatch(/unhandled|uncaught/i);
}

test("PostgreSQL crashes under load and comes back: 503 meanwhile, nothing lost, and streams go on", async () => {
  await using running = await open();
  const { serve, admin, machines } = running;
  const postgres = await (cluster as Promise<PostgresCluster>);
  await using senders = startSenders(machines, () => serve.api);
  await using stream = await openStream(`${serve.api}/stream`, admin);
  for (let crash = 0; crash < CRASHES; crash += 1) {
    await senders.taken(30);
    await postgres.crash();
    await untilHealthIs(serve, 503);
    expect(await ask("GET", `${serve.api}/machines`, admin)).toMatchObject({ status: 503 });
    await postgres.start();
    await untilHealthIs(serve, 200);
    await senders.taken(MACHINES);
  }
  await senders.finish();
  await expectAllStored(serve.api, admin, senders);
  expectUnharmed(serve, senders.statuses);
  expect(senders.statuses.get(503)).toBeGreaterThan(0);
  expect(senders.withoutRetryAfter()).toBe(0);
  // The stream is told that it may have missed something, or is closed and opened again; then it hears of changes.
  await using fresh = await openStream(`${serve.api}/stream`, admin);
  const [machine] = machines;
  for (const each of stream.isOpen() ? [stream, fresh] : [fresh]) {
    const heard = each.next("machines", ({ machines: changed }) =>
      changed.some(({ id, name }) => id === machine?.id && name === "anew"),
    );
    await must("PATCH", `${serve.api}/machines/${machine?.id}`, admin, { name: "anew" });
    await heard;
    await must("PATCH", `${serve.api}/machines/${machine?.id}`, admin, { name: null });
  }
}, 120_000);

test("PostgreSQL crashes while a transaction is open and asks nothing: it has failed, and the next one works", async () => {
  cluster ??= openPostgresCluster();
  const postgres = await cluster;
  const databaseUrl = await postgres.createDatabase();
  await using store = await openStore({ dataDir: "", databaseUrl, onError: () => {} });
  const write = (meanwhile: () => Promise<void>) =>
    store.write({ name: "test", address: null }, async ({ db, audit }) => {
      await audit("test", "nothing");
      await meanwhile();
      await db.selectFrom("machines").selectAll().execute();
    });
  const crash = async () => {
    await postgres.crash();
    await Bun.sleep(100); // the end of the connection arrives meanwhile
  };
  await expect(write(crash)).rejects.toMatchObject({ code: "unavailable" });
  await postgres.start();
  await write(async () => {});
  expect(await store.db.selectFrom("audit").select("action").execute()).toHaveLength(1);
}, 60_000);

test("without PostgreSQL serve does not start, and says why without the password", async () => {
  await using temporary = await temporaryDirectory();
  const databaseUrl = `postgres://anna:secret@127.0.0.1:${await freePort()}/fleet`;
  const started = startServe({ dataDir: temporary.dir, databaseUrl });
  await expect(started).rejects.toThrow(/the database does not answer/);
  await expect(started).rejects.not.toThrow(/secret/);
}, 60_000);

test("PostgreSQL accepts and never answers: requests end with 503, and go on when it wakes", async () => {
  await using running = await open();
  const { serve, admin, machines } = running;
  const postgres = await (cluster as Promise<PostgresCluster>);
  await using senders = startSenders(machines, () => serve.api);
  await senders.taken(30);
  const processes = processesOf(postgres);
  for (const pid of processes) process.kill(pid, "SIGSTOP");
  try {
    const answers = await Promise.all(
      ["/health", "/machines", "/images", "/audit", "/runs", "/tokens", "/machines", "/images", "/audit", "/runs"].map(
        (path) => ask("GET", serve.api + path, admin),
      ),
    );
    expect(answers.map((answer) => answer?.status)).toEqual(answers.map(() => 503));
  } finally {
    for (const pid of processes.toReversed()) process.kill(pid, "SIGCONT");
  }
  await untilHealthIs(serve, 200);
  await senders.finish();
  await expectAllStored(serve.api, admin, senders);
  expectUnharmed(serve, senders.statuses);
  expect(senders.withoutRetryAfter()).toBe(0);
}, 120_000);
