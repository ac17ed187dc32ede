/** Connections that are held open with next to nothing: they are cut, and honest machines do not notice them. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { createCa } from "../support/certificates.ts";
import { event, openTestServe } from "../support/control-server.ts";
import { trickle } from "../support/raw-request.ts";

// The server counts time in steps of 4 s: a limit of one step may be over as soon as it has begun, for honest machines too.
const limits = { requestSeconds: 8, machine: { perSecond: 1e6, burst: 1e6 } };
const EVERY = 500;
const ATTACKERS = 500;

const start = (path: string, token: string) =>
  `POST /api/v1${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;

test(`${ATTACKERS} connections that trickle are cut, and a machine is answered all the while`, async () => {
  await using serve = await openTestServe({ limits });
  const machine = await serve.enrol();
  const path = `/machines/${machine.id}/events`;
  const stolen = start(path, machine.token); // even with a good token
  const kinds: readonly [string, string][] = [
    ["GET /api/v1/health HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n"],
    ["GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-A: ", "b"],
    ["GET /api/v1/hea", "l"],
    [`${start("/enrol", "x")}Content-Length: 60000\r\n\r\n{`, " "],
    [`${stolen}Content-Length: 500000\r\n\r\n{`, " "],
    [`${stolen}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, "1\r\n \r\n"],
    [`${stolen}Transfer-Encoding: chunked\r\n\r\n`, "0"],
    [`${start(path, "wrong")}Content-Length: 500000\r\n\r\n{`, " "],
    ["", "\r\n"],
    ["", ""],
  ];
  const attackers = Array.from({ length: ATTACKERS }, (_, n) => {
    const [head, piece] = kinds[n % kinds.length] ?? ["", ""];
    return trickle(serve.url, head, piece, EVERY);
  });
  try {
    let isOver = false;
    const cut = Promise.all(attackers.map(({ closed }) => closed)).then(() => {
      isOver = true;
    });
    const runId = randomUUID();
    const statuses = new Set<number>();
    let seq = 0;
    while (!isOver) {
      seq += 1;
      const answer = await machine.post("events", { runId, events: [event(seq, { type: "step", message: "here" })] });
      statuses.add(answer.status);
      await Bun.sleep(20);
    }
    await cut;
    expect(seq).toBeGreaterThan(50);
    expect([...statuses]).toEqual([200]);
    const { events } = await serve.must<{ events: unknown[] }>("GET", `/runs/${runId}/events?limit=5000`);
    expect(events).toHaveLength(seq);
    expect(serve.log.filter((line) => !line.includes("admin token"))).toEqual([]);
  } finally {
    for (const each of attackers) each[Symbol.dispose]();
  }
}, 60_000);

test("over TLS too, handshakes included; and every descriptor is given back", async () => {
  await using ca = await createCa();
  await using serve = await openTestServe({ limits, tls: await ca.sign("IP:127.0.0.1") });
  const before = readdirSync("/proc/self/fd").length;
  const get = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-A: ";
  const attackers = [
    ...Array.from({ length: 30 }, () => trickle(serve.url, get, "b", EVERY, true)),
    ...Array.from({ length: 30 }, () => trickle(serve.url, "\x16\x03\x01\x02\x00", "\x01", EVERY)),
    ...Array.from({ length: 30 }, () => trickle(serve.url, "", "", EVERY)),
  ];
  await Promise.all(attackers.map(({ closed }) => closed));
  const healthy = await fetch(`${serve.url}/api/v1/health`, { tls: { rejectUnauthorized: false }, keepalive: false });
  expect(healthy.status).toBe(200);
  expect(readdirSync("/proc/self/fd").length).toBeLessThan(before + 10);
}, 60_000);

test("connections that are held do not hold up the end of the endpoint", async () => {
  const serve = await openTestServe(); // the usual limits: half a minute for a request
  const head = `${start("/machines", serve.adminToken)}Content-Length: 100\r\n\r\n{`;
  const held = [trickle(serve.url, head, " ", EVERY), trickle(serve.url, "GET / HT", "", EVERY)];
  expect((await serve.api("GET", "/health")).status).toBe(200);
  await serve[Symbol.asyncDispose]();
  await Promise.all(held.map(({ closed }) => closed));
}, 20_000);
