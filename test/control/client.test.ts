/** The client against real endpoints: what is lost on the way, certificates, enrolment, and a process that is killed. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClient } from "../../src/control/client/client.ts";
import { openEndpoint } from "../../src/control/client/endpoint.ts";
import { handedOverEntries } from "../../src/control/client/queue.ts";
import { Refusal } from "../../src/control/client/refusal.ts";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Sink } from "../../src/report/sink.ts";
import { createCa } from "../support/certificates.ts";
import { runCli, startCli } from "../support/cli.ts";
import { eachDatabase, event, goodReport, openTestServe, type TestMachine } from "../support/control-server.ts";
import { startFaultyEndpoint } from "../support/faulty-endpoint.ts";
import { eventsOfRun, knownOf } from "../support/told-run.ts";

setDefaultTimeout(120_000);

let directory: string;
const at = (name: string) => join(directory, name);
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "reimage-client-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A queue of so many events and a report, and how it is sent. */
function leaveQueue(machine: TestMachine, runId: string, count: number): string[] {
  const lines = [
    { kind: "head", lastSeq: count, machineId: machine.id },
    ...Array.from({ length: count }, (_, i) => ({
      kind: "event",
      runId,
      event: event(i + 1, { type: "step", stage: "write", message: `step ${i + 1} ${"x".repeat(500)}` }),
    })),
    { kind: "report", message: { runId, report: goodReport("os-2"), bootInfo: null } },
  ];
  writeFileSync(at("queue"), `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
  writeFileSync(at("token"), machine.token);
  return ["report", "--queue", at("queue"), "--token-file", at("token"), "--machine", machine.id];
}

eachDatabase("a queue that is sent", (open) => {
  test("answers are lost, the endpoint has errors: all of it arrives, once, in order", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    const runId = randomUUID();
    await using endpoint = await startFaultyEndpoint(serve.url, ({ index }) => {
      if (index % 3 === 0) return "lose";
      return index % 3 === 1 ? { status: 500 } : "pass";
    });
    const send = leaveQueue(machine, runId, 1200);
    expect(await runCli([...send, "--url", endpoint.url])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(existsSync(at("queue"))).toBe(false);
    const events = await eventsOfRun(serve, runId);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 1200 }, (_, i) => i + 1));
    expect((await knownOf(serve, machine)).runs).toMatchObject([{ outcome: "success", verdict: "verified" }]);
    expect(endpoint.seen.filter(({ what }) => what === "events").length).toBeGreaterThan(6);
    expect(endpoint.seen.every(({ url, body }) => !(url + JSON.stringify(body)).includes(machine.token))).toBe(true);
  });

  test("the sender is killed after every request: all of it arrives, once, in order", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    const runId = randomUUID();
    const send = leaveQueue(machine, runId, 1200);
    let stopAfter = 1;
    await using endpoint = await startFaultyEndpoint(serve.url, () => {
      stopAfter -= 1;
      return stopAfter >= 0 ? "pass" : "silent";
    });
    for (let kills = 0; kills < 4; kills++) {
      stopAfter = 1;
      const earlier = endpoint.seen.length;
      const sending = startCli([...send, "--url", endpoint.url]);
      while (endpoint.seen.length < earlier + 2) await Bun.sleep(5);
      sending.kill();
      expect(await sending.finished).toMatchObject({ signal: "SIGKILL" });
    }
    expect(handedOverEntries(readFileSync(at("queue"), "utf8"), machine.id).length).toBeLessThan(1201);
    stopAfter = Number.POSITIVE_INFINITY;
    expect(await runCli([...send, "--url", endpoint.url])).toMatchObject({ exitCode: 0, stderr: "" });
    const events = await eventsOfRun(serve, runId);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 1200 }, (_, i) => i + 1));
  });
});

describe("reimage report", () => {
  test("two endpoints, one after the other: the second one takes what the first one did not", async () => {
    await using first = await startFaultyEndpoint(null, () => ({ status: 401 }));
    await using serve = await openTestServe();
    const machine = await serve.enrol();
    const runId = randomUUID();
    const send = leaveQueue(machine, runId, 3);
    const refused = await runCli([...send, "--url", first.url]);
    expect(refused).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/answered 401.*kept[\s\S]*reimage enroll/),
    });
    expect(await runCli([...send, "--url", serve.url])).toMatchObject({ exitCode: 0 });
    expect(await eventsOfRun(serve, runId)).toHaveLength(3);
    expect(await runCli([...send, "--url", serve.url])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("nothing to send"),
    });
  });

  test.each([[{}], [{ lastSeq: 2 }], [null]])("%j is no acknowledgement: nothing counts as sent", async (body) => {
    await using serve = await openTestServe();
    const machine = await serve.enrol();
    await using endpoint = await startFaultyEndpoint(null, ({ what }) =>
      what === "events" ? { status: 200, body } : { status: 200, body: { verdict: "verified", reason: null } },
    );
    const send = leaveQueue(machine, randomUUID(), 3);
    const result = await runCli([...send, "--url", endpoint.url]);
    expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("not a control endpoint's") });
    expect(handedOverEntries(readFileSync(at("queue"), "utf8"), machine.id)).toHaveLength(4);
  });

  test("a report that is not believed stays, and so does another machine's", async () => {
    await using serve = await openTestServe();
    const machine = await serve.enrol();
    await serve.must("PUT", "/images/os-3", { id: "os-3" });
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-3" });
    const runId = randomUUID();
    await machine.post("instructions", { runId, bootInfo: null, isDiskNamed: true });
    const send = leaveQueue(machine, runId, 1);
    const doubted = await runCli([...send, "--url", serve.url]);
    expect(doubted).toMatchObject({ exitCode: 3, stdout: expect.stringMatching(/is not believed: .*os-3 was wanted/) });
    expect(existsSync(at("queue"))).toBe(true);

    const other = await serve.enrol();
    leaveQueue(machine, randomUUID(), 1);
    writeFileSync(at("token"), other.token);
    const foreign = await runCli([...send.slice(0, -1), other.id, "--url", serve.url]);
    expect(foreign).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(`tells of machine ${machine.id}`) });
    expect((await knownOf(serve, other)).runs).toEqual([]);
  });

  test.each([
    [["report"], 2, "no control endpoint is configured"],
    [["report", "--url", "ftp://x"], 2, "expected an http(s) URL"],
    [["report", "--url", "http://x"], 2, "name it with --queue"],
    [["abort", "--url", "http://127.0.0.1:9", "--token-file", "/none/token", "--work", "/none"], 2, "has no token"],
    [["enroll", "--url", "http://127.0.0.1:9", "--wait", "soon"], 2, "whole number of seconds"],
    [["enroll", "--uri", "x"], 2, "--uri"],
  ])("%j is refused", async (args, exitCode, says) => {
    const result = await runCli(
      [...args, "--config", at("none.yaml")].filter((word) => word !== "--config" && word !== at("none.yaml")),
    );
    expect(result).toMatchObject({ exitCode, stdout: "" });
    expect(result.stderr).toContain(says);
  });
});

test("what an earlier process has told the file of events alone is sent by the next one; of the run before it, too", async () => {
  await using serve = await openTestServe();
  const machine = await serve.enrol();
  const [before, runId] = [randomUUID(), randomUUID()];
  const steps = [1, 2, 3].map((seq) => event(seq, { type: "step", stage: "save", message: `${seq}` }));
  const failed = event(4, { type: "run-failed", stage: "save", target: "untouched", code: "image", reason: "x" });
  const later = [5, 6].map((seq) => event(seq, { type: "step", stage: null, message: `${seq}` }));
  const lines = [...steps, failed, ...later].map((each) => JSON.stringify(each));
  writeFileSync(at("events.ndjson"), `${lines.join("\n")}\n`);
  const report = { ...goodReport("os-1"), runId: before, outcome: "failed", target: "untouched", reason: "x" };
  writeFileSync(at("report.json"), JSON.stringify(report));
  mkdirSync(at("control"));
  writeFileSync(at("control/kept.json"), JSON.stringify({ runId: before }));
  const queued = { kind: "event", runId: before, event: steps[0] };
  writeFileSync(at("control/queue.ndjson"), `${JSON.stringify(queued)}\n`);

  const sinks: Sink[] = [];
  await using client = await openClient({
    config: {
      ...{ url: serve.url, token: machine.token, tokenFile: null, ca: null },
      decides: false,
      machine: machine.id,
      timeoutSeconds: 5,
    },
    ...{ workDir: directory, runId, version: "test", eventsPath: at("events.ndjson"), reportPath: at("report.json") },
    ...{ handedOverPath: null, waitSeconds: 0, network: Promise.resolve(), requireNotAborted: () => {} },
    emit: () => {},
    listen: (sink) => sinks.push(sink),
  });
  sinks[0]?.receive({ type: "step", stage: null, message: "7", seq: 7, time: "2026-01-01T00:00:00.000Z" });
  await client.finish();
  expect((await eventsOfRun(serve, before)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  expect((await eventsOfRun(serve, runId)).map(({ seq }) => seq)).toEqual([5, 6, 7]);
  const { runs } = await knownOf(serve, machine);
  expect(runs.find(({ id }) => id === before)).toMatchObject({ outcome: "failed", verdict: "recorded" });
});

describe("certificates", () => {
  const ask = async (url: string, ca: string | null, token = "secret-token") => {
    const endpoint = await openEndpoint({
      config: { url, ca, timeoutSeconds: 5 },
      token: () => token,
      version: "test",
    });
    return await endpoint.post("/enrol", {}).then(
      ({ status }) => status,
      (error: unknown) => error,
    );
  };

  test("the configured CA counts, and no other; the token goes to nobody else", async () => {
    await using ca = await createCa();
    await using other = await createCa("another CA");
    await using endpoint = await startFaultyEndpoint(null, () => ({ status: 200 }), await ca.sign("IP:127.0.0.1"));
    expect(await ask(endpoint.url, ca.caFile)).toBe(200);
    for (const wrong of [null, other.caFile]) {
      const refusal = await ask(endpoint.url, wrong);
      expect(refusal).toMatchObject({ kind: "lasting", message: expect.stringContaining("control.ca names the file") });
    }
    await using named = await startFaultyEndpoint(
      null,
      () => ({ status: 200 }),
      await ca.sign("DNS:elsewhere.example"),
    );
    expect(await ask(named.url, ca.caFile)).toMatchObject({
      kind: "lasting",
      message: expect.stringContaining("another name"),
    });
    expect([endpoint.seen.length, named.seen.length]).toEqual([1, 0]);
  });

  test("a clock that is wrong is said to be: the date, and what to do", async () => {
    await using ca = await createCa();
    const later = await ca.sign("IP:127.0.0.1", "20800101000000Z", "20900101000000Z");
    await using endpoint = await startFaultyEndpoint(null, () => ({ status: 200 }), later);
    const refusal = await ask(endpoint.url, ca.caFile);
    if (!(refusal instanceof Refusal)) throw new Error("it was trusted");
    expect(refusal.message).toContain(
      `is not valid yet (the clock of this machine says ${new Date().toISOString().slice(0, 10)}`,
    );
    expect(refusal.hint).toMatch(/date of today.*date -s.*hwclock/);
  });

  test("a redirect is not followed", async () => {
    await using elsewhere = await startFaultyEndpoint(null, () => ({ status: 200 }));
    await using endpoint = await startFaultyEndpoint(null, () => ({
      status: 307,
      headers: { location: elsewhere.url },
    }));
    expect(await ask(endpoint.url, null)).toMatchObject({
      kind: "lasting",
      message: expect.stringContaining("redirects are not followed"),
    });
    expect(elsewhere.seen).toEqual([]);
  });

  test("what it says on a console is one line without control characters, and never the token", async () => {
    const message = "no\n\u001b[2Jsecret\u0007 ".repeat(100);
    await using endpoint = await startFaultyEndpoint(null, () => ({ status: 403, body: { message } }));
    const refusal = await ask(endpoint.url, null);
    expect(String(refusal)).not.toMatch(/\p{Cc}|secret-token/u);
    expect(String(refusal).length).toBeLessThan(400);
  });

  test("a proxy of the environment is not used", async () => {
    await using proxy = await startFaultyEndpoint(null, () => ({ status: 200 }));
    await using endpoint = await startFaultyEndpoint(null, () => ({ status: 200 }));
    process.env.http_proxy = proxy.url;
    expect(await ask(endpoint.url, null)).toBe(200);
    expect([endpoint.seen.length, proxy.seen.length]).toEqual([1, 0]);
  });
});

describe("enrolment", () => {
  const enroll = (url: string, id: string) => ["enroll", "--url", url, "--machine", id, "--token-file", at("token")];

  test("by a code, once; the token never leaves the machine", async () => {
    await using serve = await openTestServe();
    await using endpoint = await startFaultyEndpoint(serve.url);
    const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", {});
    const id = randomUUID();
    const result = await runCli([...enroll(endpoint.url, id), "--code", code]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const token = readFileSync(at("token"), "utf8").trim();
    expect(statSync(at("token")).mode & 0o777).toBe(0o600);
    expect(result.stdout).toContain(id);
    expect(result.stdout + JSON.stringify(endpoint.seen)).not.toContain(token);
    expect(result.stdout + endpoint.seen.map(({ url }) => url)).not.toContain(code);
    expect(await serve.must<Machine>("GET", `/machines/${id}`)).toMatchObject({ state: "approved" });
    const asked = await serve.api(
      "POST",
      `/machines/${id}/instructions`,
      { runId: randomUUID(), bootInfo: null, isDiskNamed: true },
      token,
    );
    expect(asked.body).toMatchObject({ action: "boot-local" });
    const again = await runCli([...enroll(serve.url, randomUUID()), "--code", code, "--token-file", at("other")]);
    expect(again).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("ask for a new one") });
  });

  test("by approval: the fingerprint is compared, and the machine waits", async () => {
    await using serve = await openTestServe();
    const id = randomUUID();
    expect(await runCli([...enroll(serve.url, id), "--wait", "0"])).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("has not approved"),
    });
    const token = readFileSync(at("token"), "utf8");
    const waiting = startCli([...enroll(serve.url, id), "--wait", "100"]);
    const { fingerprint, state } = await serve.must<Machine>("GET", `/machines/${id}`);
    expect(state).toBe("discovered");
    await serve.must("POST", `/machines/${id}/approve`, { fingerprint });
    const result = await waiting.finished;
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readFileSync(at("token"), "utf8")).toBe(token);
  });

  test("an answer about another token is not trusted", async () => {
    const id = randomUUID();
    await using endpoint = await startFaultyEndpoint(null, () => ({
      status: 200,
      body: { machineId: id, state: "approved", fingerprint: "dead-beef-dead-beef" },
    }));
    const result = await runCli(enroll(endpoint.url, id));
    expect(result).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("not about this machine and its token"),
    });
  });
});
