/** Secrets that can be recognised are planted; then every route is used, and all that came back is searched for them. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { putMachine } from "../../src/control/server/operations/machines.ts";
import { powerAdapterSchema } from "../../src/control/server/power/adapter.ts";
import { describeError } from "../../src/errors.ts";
import { makeCase } from "../support/api-cases.ts";
import { eachDatabase, openTestServe, type TestServe } from "../support/control-server.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { createRandom } from "../support/random.ts";
import { newToken, openSession, readDescription } from "../support/security.ts";

const endless = { perSecond: 1e6, burst: 1e6 };
const limits = { machine: endless, stranger: endless, refused: endless };
const BMC_PASSWORD = "s3cr3t-bmc-p4ssw0rd";
const DATABASE_PASSWORD = "s3cr3t-d4t4b4se";
const UUID = "6b1f4cf4-59a7-4fe8-9a3f-d3b8a1d0a001";

/** A controller's program that says what it should not, and fails. */
const leaky = powerAdapterSchema.parse({
  name: "leaky",
  commands: {
    on: ["/bin/sh", "-c", "echo connecting with $PASSWORD; echo bad password $PASSWORD >&2; exit 1"],
    status: ["/usr/bin/printf", "%s\n%s is on\n", "it is on", "{{password}}"],
  },
  env: { PASSWORD: "{{password}}" },
  statusOn: "^it is on$",
  statusOff: "^it is off$",
  retries: 0,
});

async function plant(serve: TestServe): Promise<void> {
  const power = { adapter: "leaky", variables: { password: BMC_PASSWORD } };
  await serve.serve.endpoint.store.write({ name: "serve", address: null }, (scope) =>
    putMachine(scope, UUID, { power }),
  );
}

eachDatabase("secrets", (open, dialect) => {
  test("are in no answer, log line or audit entry, whatever is asked", async () => {
    await using temporary = await temporaryDirectory();
    const dataDir = join(temporary.dir, "data");
    const databaseUrl = dialect === "sqlite" ? {} : { databaseUrl: await urlWithPassword(open, dataDir) };
    await using serve = await open({ limits, powerAdapters: [leaky], dataDir, ...databaseUrl });
    await plant(serve);
    const told: string[] = [];
    const ask = async (method: string, path: string, init: RequestInit = {}) => {
      const response = await fetch(`${serve.url}${path}`, { method, ...init });
      if (response.headers.get("content-type") === "text/event-stream") {
        const reader = response.body?.getReader();
        told.push(Buffer.from((await reader?.read())?.value ?? []).toString());
        await reader?.cancel();
        return;
      }
      told.push(`${method} ${path} ${JSON.stringify([...response.headers])} ${await response.text()}`);
    };
    const machine = await serve.enrol();
    const operator = (await newToken(serve, "operator")).token;
    const viewer = (await newToken(serve, "viewer")).token;
    const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", { machineId: UUID });
    const session = await openSession(serve, operator);
    const tokens = [serve.adminToken, machine.token, operator, viewer, code, session];

    // Its controller says the password, once to each of its outputs.
    for (const action of ["on", "status"])
      await endOf(serve, await serve.must("POST", `/machines/${UUID}/power`, { action }));

    const api = await readDescription(serve);
    const random = createRandom(7);
    const callers = { admin: serve.adminToken, operator, viewer, machines: new Map([[machine.id, machine.token]]) };
    const pools = { MachineId: [UUID, machine.id], RunId: [], ImageId: ["os-1"], Name: ["local"], Mac: [], text: [] };
    for (let n = 0; n < 600; n += 1) {
      const { operation, path, headers, body } = makeCase(api, random, pools, callers);
      const isKeeping =
        operation.method === "DELETE" || operation.path === "/tokens" || operation.path === "/enrolment-codes";
      if (isKeeping) continue; // the secrets are to stay, and new ones are told only here
      await ask(operation.method, `/api/v1${path}`, { headers, ...(body === null ? {} : { body }) });
    }
    for (const { method, path } of api.operations.filter((each) => each.method === "GET")) {
      const named = path.replace("{machineId}", UUID).replace("{jobId}", "x");
      await ask(method, `/api/v1${named}`, { headers: { authorization: `Bearer ${serve.adminToken}` } });
    }
    // Secrets in the wrong place are not repeated.
    for (const secret of tokens) {
      const json = { "content-type": "application/json" };
      for (const path of ["/session", "/enrol"]) {
        for (const body of [
          `{"token":["${secret}"]`,
          JSON.stringify({ token: [secret], code: { secret }, macs: [secret] }),
        ]) {
          await ask("POST", `/api/v1${path}`, { headers: json, body });
        }
      }
      await ask("GET", "/api/v1/machines", { headers: { authorization: `Token ${secret}` } });
      await ask("GET", "/api/v1/machines", { headers: { authorization: `Bearer ${secret}, Bearer ${secret}` } });
    }
    told.push(JSON.stringify(await serve.must("GET", "/audit?limit=1000")), ...serve.log);
    expect(told.length).toBeGreaterThan(400);
    expect(told.join("\n")).toContain(UUID);
    for (const secret of [...tokens, BMC_PASSWORD, DATABASE_PASSWORD]) {
      expect(told.filter((text) => text.includes(secret)).map((text) => text.slice(0, 500))).toEqual([]);
    }
    // At rest too, tokens are SHA-256 only. The first admin's token has its file.
    const files = readdirSync(serve.dataDir).filter((name) => name !== "admin.token");
    for (const name of files) {
      const bytes = readFileSync(join(serve.dataDir, name));
      for (const secret of tokens) expect(`${name}: ${bytes.includes(secret)}`).toBe(`${name}: false`);
    }
    for (const name of readdirSync(serve.dataDir)) expect(statSync(join(serve.dataDir, name)).mode & 0o77).toBe(0);
    expect(statSync(serve.dataDir).mode & 0o77).toBe(0);
  }, 60_000);
});

/** PostgreSQL lets the tests in with any password. */
async function urlWithPassword(open: typeof openTestServe, dataDir: string): Promise<string> {
  await using serve = await open({ dataDir });
  return (serve.databaseUrl ?? "").replace("postgres@", `postgres:${DATABASE_PASSWORD}@`);
}

async function endOf(serve: TestServe, { id }: { id: string }): Promise<void> {
  for (;;) {
    const job = await serve.must<{ endedAt: string | null; state: string; message: string | null }>(
      "GET",
      `/power-jobs/${id}`,
    );
    if (job.endedAt === null) continue;
    expect(job.message).not.toContain(BMC_PASSWORD);
    expect(job.message).toContain("<hidden>");
    return;
  }
}

test.each([
  `postgres://reimage:${DATABASE_PASSWORD}@127.0.0.1:1/x`,
  `postgres://reimage:${DATABASE_PASSWORD}@no-such-host.invalid/x`,
  `postgres://reimage:${DATABASE_PASSWORD}@[127.0.0.1/x`,
  `postgres://reimage:${DATABASE_PASSWORD}%@127.0.0.1:1/x`,
  `mysql://reimage:${DATABASE_PASSWORD}@127.0.0.1:1/x`,
])("a database that cannot be opened: the password is in no message", async (databaseUrl) => {
  const thrown = await openTestServe({ databaseUrl }).then(
    () => "it was opened",
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(Error);
  expect(
    `${describeError(thrown)} ${Bun.inspect(thrown)} ${thrown instanceof Error ? thrown.stack : ""}`,
  ).not.toContain(DATABASE_PASSWORD);
  expect(thrown).toMatchObject({ code: "database" });
});
