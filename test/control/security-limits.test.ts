/** How much is taken from whom, as it is over the wire. */
import { expect, test } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { type Answer, eachDatabase, event, openTestServe } from "../support/control-server.ts";

/** Nothing comes back within a test. */
const rate = (burst: number) => ({ perSecond: 0.001, burst });

const discovered = () => ({ machineId: randomUUID(), macs: [], tokenSha256: randomBytes(32).toString("hex") });

function expectTooMany(answer: Answer): void {
  expect(answer).toMatchObject({ status: 429, body: { code: "too-many" } });
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
}

/** The statuses of `count` requests, one after the other. */
async function statuses(count: number, ask: () => Promise<Answer>): Promise<number[]> {
  const all: number[] = [];
  for (let n = 0; n < count; n += 1) all.push((await ask()).status);
  return all;
}

eachDatabase("limits", (open) => {
  test("enrolment without a code, by address; with a good code it is not counted", async () => {
    await using serve = await open({ limits: { stranger: rate(3) } });
    const ask = () => serve.api("POST", "/enrol", discovered(), null);
    expect(await statuses(4, ask)).toEqual([202, 202, 202, 429]);
    expectTooMany(await ask());
    await serve.enrol();
    const { machines } = await serve.must<{ machines: unknown[] }>("GET", "/machines");
    expect(machines).toHaveLength(4);
  });

  test("wrong tokens, codes and logins are counted together; who has a good token is served all the same", async () => {
    await using serve = await open({ limits: { refused: rate(6) } });
    const machine = await serve.enrol();
    const wrong = () => serve.api("GET", "/machines", undefined, "wrong");
    const wrongLogin = () => serve.api("POST", "/session", { token: "wrong" }, null);
    const wrongCode = () => serve.api("POST", "/enrol", { ...discovered(), code: "wrong" }, null);
    expect(await statuses(2, wrong)).toEqual([401, 401]);
    expect(await statuses(2, wrongLogin)).toEqual([401, 401]);
    expect(await statuses(2, wrongCode)).toEqual([401, 401]);
    for (const each of [wrong, wrongLogin, wrongCode]) expectTooMany(await each());
    // A good code or token that comes to the door that is shut has to wait: neither is known before it is looked up.
    expectTooMany(await serve.api("POST", "/session", { token: serve.adminToken }, null));
    const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", {});
    expectTooMany(await serve.api("POST", "/enrol", { ...discovered(), code }, null));
    const runId = randomUUID();
    const events = await machine.post("events", { runId, events: [event(1, { type: "step" })] });
    expect(events.status).toBe(200);
    expect((await serve.api("GET", "/machines")).status).toBe(200);
  });

  test("a machine's words, by its token; another one behind the same address does not notice", async () => {
    await using serve = await open({ limits: { machine: rate(5) } });
    const [loud, quiet] = [await serve.enrol(), await serve.enrol()];
    const runs = new Map([loud, quiet].map(({ id }) => [id, randomUUID()]));
    const speak = (machine: typeof loud, seq = 1) =>
      machine.post("events", { runId: runs.get(machine.id), events: [event(seq, { type: "step" })] });
    expect(await statuses(5, () => speak(loud))).toEqual([200, 200, 200, 200, 200]);
    expectTooMany(await speak(loud, 2));
    expectTooMany(await loud.post("report", {}));
    expect((await speak(quiet)).status).toBe(200);
    // What was refused was not taken.
    const { events } = await serve.must<{ events: unknown[] }>("GET", `/runs/${runs.get(loud.id)}/events`);
    expect(events).toHaveLength(1);
  });
});

test("behind a trusted proxy each caller is counted by himself; elsewhere nobody is believed", async () => {
  const options = { limits: { stranger: rate(2) } };
  const from = (address: string) => ({ "x-forwarded-for": address });
  await using behind = await openTestServe({ ...options, trustedProxies: [parseAddressRange("127.0.0.1")] });
  const via = (address: string) => behind.api("POST", "/enrol", discovered(), null, from(address));
  expect(await statuses(3, () => via("203.0.113.1"))).toEqual([202, 202, 429]);
  expect(await statuses(3, () => via("203.0.113.2"))).toEqual([202, 202, 429]);
  expect(await statuses(1, () => via("203.0.113.3, 203.0.113.1"))).toEqual([429]); // the caller's own words
  const { entries } = await behind.must<{ entries: { address: string }[] }>("GET", "/audit");
  expect(new Set(entries.map(({ address }) => address))).toContain("203.0.113.2");

  await using direct = await openTestServe(options);
  const ask = () => direct.api("POST", "/enrol", discovered(), null, from(`203.0.113.${randomBytes(1)[0]}`));
  expect(await statuses(3, ask)).toEqual([202, 202, 429]);
});

test("a thousand requests of ten machines from one address are answered: an address is not what counts", async () => {
  await using serve = await openTestServe({ limits: { stranger: rate(1), refused: rate(1) } });
  const machines = await Promise.all(Array.from({ length: 10 }, () => serve.enrol()));
  const answers = machines.map(async (machine) => {
    const runId = randomUUID();
    let refused = 0;
    for (let seq = 1; seq <= 100; seq += 1) {
      const { status } = await machine.post("events", { runId, events: [event(seq, { type: "step" })] });
      if (status !== 200) refused += 1;
    }
    return refused;
  });
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 10 }, () => 0));
});

test("bodies: 4 KiB to log in, 64 KiB to enrol, 512 KiB of events, 1 MiB of all else; declared or not", async () => {
  await using serve = await openTestServe();
  const machine = await serve.enrol();
  const routes: readonly [string, string, number, string | null][] = [
    ["POST", "/session", 4 << 10, null],
    ["POST", "/enrol", 64 << 10, null],
    ["POST", `/machines/${machine.id}/events`, 512 << 10, machine.token],
    ["POST", `/machines/${machine.id}/report`, 1 << 20, machine.token],
    ["POST", "/machines", 1 << 20, serve.adminToken],
  ];
  for (const [method, path, limit, token] of routes) {
    const send = async (sizeBytes: number, isDeclared: boolean) => {
      const text = Buffer.from(`{"x":"${"a".repeat(sizeBytes - 8)}"}`);
      const stream = () =>
        new ReadableStream({
          start(controller) {
            controller.enqueue(text);
            controller.close();
          },
        });
      const response = await fetch(`${serve.url}/api/v1${path}`, {
        method,
        headers: {
          "content-type": "application/json",
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        body: isDeclared ? text : stream(),
      });
      await response.arrayBuffer();
      return response.status;
    };
    for (const isDeclared of [true, false]) {
      expect(`${path}: ${await send(limit, isDeclared)}`).toBe(`${path}: 400`); // read, and not what was meant
      expect(`${path}: ${await send(limit + 1, isDeclared)}`).toBe(`${path}: 413`);
      expect(`${path}: ${await send(3 << 20, isDeclared)}`).toBe(`${path}: 413`);
    }
  }
  // Who may not is told so before anything of his is read.
  const huge = { method: "POST", body: "[".repeat(1 << 20), headers: { "content-type": "application/json" } };
  const refused = await fetch(`${serve.url}/api/v1/machines`, huge);
  expect([refused.status, (await refused.text()).length]).toEqual([401, expect.any(Number)]);
}, 30_000);

test("a code that was used, of another machine, or too old, is not accepted; and is not used up by that", async () => {
  let aheadMs = 0;
  await using serve = await openTestServe({ now: () => Date.now() + aheadMs });
  const id = randomUUID();
  const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", {
    machineId: id,
    expiresInSeconds: 60,
  });
  const enrol = async (machineId: string, given: string) => {
    const tokenSha256 = createHash("sha256").update(randomBytes(32)).digest("hex");
    return (await serve.api("POST", "/enrol", { machineId, macs: [], tokenSha256, code: given }, null)).status;
  };
  expect(await enrol(randomUUID(), code)).toBe(401);
  expect(await enrol(id, code.toLowerCase())).toBe(401);
  aheadMs = 59_000;
  expect(await enrol(id, code)).toBe(200);
  expect(await enrol(id, code)).toBe(401);
  const late = await serve.must<{ code: string }>("POST", "/enrolment-codes", { expiresInSeconds: 60 });
  aheadMs += 60_000;
  expect(await enrol(randomUUID(), late.code)).toBe(401);
});
