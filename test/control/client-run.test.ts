/** Whole runs that are told to a real endpoint, and decided by it: what it knows afterwards, and what the disk holds. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Event } from "../../src/report/events.ts";
import { readLastRunId } from "../../src/stages/run-id.ts";
import { type CliResult, readReport, runCli } from "../support/cli.ts";
import { eachDatabase, openTestServe, type TestMachine, type TestServe } from "../support/control-server.ts";
import { type EndpointFault, startFaultyEndpoint } from "../support/faulty-endpoint.ts";
import { closeGate, isProgress, isStage, isState, isStep, startRun } from "../support/following.ts";
import { mountDevice } from "../support/loop-device.ts";
import type { Kiosk } from "../support/open-kiosk.ts";
import { eventsOf, expectRefused } from "../support/refusals.ts";
import { makeTinyKiosks, type TinyKiosks } from "../support/tiny-kiosks.ts";
import { eventsOfRun, knownOf, speaksTo } from "../support/told-run.ts";

setDefaultTimeout(120_000);

let kiosks: TinyKiosks;
/** What the image is called where nothing but its bytes names it. */
let imageId = "";
let steps: string[] = [];

const run = (kiosk: Kiosk, more: readonly string[] = []): Promise<CliResult> =>
  runCli(["run", "--yes", ...kiosk.arguments, ...more]);

/** The words of a run, without what differs from one run to the next. */
function stepsOf(kiosk: Kiosk): string[] {
  return eventsOf(kiosk).flatMap((event) => {
    if (event.type === "step") return [event.message.replaceAll(kiosk.loop, "LOOP")];
    return event.type === "target-state" || event.type.startsWith("stage-")
      ? [JSON.stringify({ ...event, seq: 0, time: "", seconds: 0 })]
      : [];
  });
}

beforeAll(async () => {
  kiosks = await makeTinyKiosks("c");
  await using kiosk = await kiosks.openFresh("mbr");
  expect(await run(kiosk)).toMatchObject({ exitCode: 0, stderr: "" });
  steps = stepsOf(kiosk);
  imageId = (readReport(kiosk.workDir).image as { id: string }).id;
});
afterAll(() => kiosks[Symbol.asyncDispose]());

/** A machine of which a reinstallation with the image of the kiosks is wanted. */
async function wanted(serve: TestServe): Promise<TestMachine> {
  const machine = await serve.enrol();
  await serve.must("PUT", `/images/${encodeURIComponent(imageId)}`, { id: imageId });
  await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId });
  return machine;
}

const decides = ["--set", "control.decides=true"];

eachDatabase("a run", (open) => {
  test("is told from its first event to its report; the new OS knows what it needs to tell it again", async () => {
    await using serve = await open();
    const machine = await wanted(serve);
    await using kiosk = await kiosks.openFresh("mbr");
    const told = speaksTo(kiosk, serve.url, machine);
    expect(await run(kiosk, [...told, ...decides])).toMatchObject({ exitCode: 0, stderr: "" });

    const known = await knownOf(serve, machine);
    expect(known.run).toMatchObject({ outcome: "success", target: "complete", verdict: "verified" });
    expect(known.machine).toMatchObject({ imageId, reinstall: null, configuration: "local" });
    const own = eventsOf(kiosk);
    const isTold = (event: { type: string }) => event.type !== "progress";
    expect(known.events.filter(isTold)).toEqual(own.filter(isTold) as never);
    expect(own).toEqual(expect.arrayContaining(known.events as never[]));
    const sent = await serve.must("GET", `/runs/${known.run?.id}/report`);
    expect(sent).toEqual(readReport(kiosk.workDir));

    const handedOver = join(kiosk.directory, "queue");
    {
      await using root = await mountDevice(kiosk.partition(2), undefined, ["ro"]);
      await using log = await mountDevice(kiosk.partition(6), undefined, ["ro"]);
      const bootInfo = JSON.parse(readFileSync(join(root.dir, "etc/reimage/boot-info.json"), "utf8"));
      expect(bootInfo).toMatchObject({ image_id: imageId, run_id: known.run?.id });
      expect(known.machine.bootInfo).toEqual(bootInfo);
      const report = readReport(kiosk.workDir);
      expect(bootInfo.readback_sha256).toBe(report.readback);
      await Bun.write(handedOver, Bun.file(join(log.dir, "log/control-queue.ndjson")));
    }
    expect(readFileSync(handedOver, "utf8")).not.toContain(machine.token);
    const again = await runCli(["report", "--queue", handedOver, ...told]);
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(existsSync(handedOver)).toBe(false);
    const after = await knownOf(serve, machine);
    expect(after.events).toEqual(known.events);
    expect(after.runs).toHaveLength(1);
  });

  test("killed between its steps, again and again, and after its last word: no event is lost, and none is there twice", async () => {
    await using serve = await open();
    const machine = await wanted(serve);
    await using kiosk = await kiosks.openFresh("mbr");
    const told = speaksTo(kiosk, serve.url, machine);
    const moments = [
      ...[
        isStage("stage-started", "save"),
        isProgress(/decoding/),
        isStage("stage-finished", "save"),
        isState("partial"),
      ],
      ...[isProgress(/reading it back/), isStage("stage-started", "restore"), isStep(/committing/)],
      (event: Event) => event.type === "run-finished",
    ];
    for (const moment of moments) {
      await using killed = startRun(kiosk, told);
      await killed.untilEvent(moment);
      await killed.kill();
    }
    // What the machine is next started with is another run: nothing of the old system is left.
    expect(await run(kiosk, told)).toMatchObject({ exitCode: 3 });
    const { runs, machine: after } = await knownOf(serve, machine);
    expect(runs).toMatchObject([
      { outcome: "failed", target: "untouched" },
      { outcome: "success", target: "complete", verdict: "verified" },
    ]);
    expect(after).toMatchObject({ imageId, reinstall: null });
    const known = (await Promise.all(runs.toReversed().map(({ id }) => eventsOfRun(serve, id)))).flat();
    const isTold = ({ type }: { type: string }) => type !== "progress";
    const own = eventsOf(kiosk);
    const last = known.at(-1)?.seq ?? 0; // what the endpoint answered last is told by nobody any more
    expect(own.at(-1)?.seq ?? 0).toBeLessThanOrEqual(last + 2);
    expect(known.filter(isTold)).toEqual(own.filter((event) => isTold(event) && event.seq <= last) as never);
    expect(own).toEqual(expect.arrayContaining(known as never[]));
  });
});

describe("an endpoint that does not answer", () => {
  test.each([
    ["is not there", null],
    ["takes what it is sent and says nothing", "silent"],
    ["has an error each time", { status: 500 }],
    ["does not know the machine", { status: 401 }],
    ["is something else", { status: 200, body: {} }],
  ] as [string, EndpointFault | null][])("%s: the run is the same, step by step", async (_name, fault) => {
    await using endpoint = await startFaultyEndpoint(null, () => fault ?? "silent");
    if (fault === null) await endpoint[Symbol.asyncDispose]();
    await using kiosk = await kiosks.openFresh("mbr");
    expect(await run(kiosk, speaksTo(kiosk, endpoint.url, null))).toMatchObject({ exitCode: 0, stderr: "" });
    expect(stepsOf(kiosk)).toEqual(steps);
    const warnings = eventsOf(kiosk).filter(
      (event) => event.type === "warning" && event.message.startsWith("control: "),
    );
    expect(warnings).toHaveLength(1);
  });

  test("what was missed is told by the new OS", async () => {
    await using serve = await openTestServe();
    const machine = await serve.enrol();
    await using endpoint = await startFaultyEndpoint(serve.url, () => ({ status: 503 }));
    await using kiosk = await kiosks.openFresh("mbr");
    const told = speaksTo(kiosk, endpoint.url, machine);
    expect(await run(kiosk, told)).toMatchObject({ exitCode: 0 });
    const handedOver = join(kiosk.directory, "queue");
    {
      await using log = await mountDevice(kiosk.partition(6), undefined, ["ro"]);
      await Bun.write(handedOver, Bun.file(join(log.dir, "log/control-queue.ndjson")));
    }
    const tooEarly = await runCli(["report", "--queue", handedOver, "--wait", "1", ...told]);
    expect(tooEarly).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("503") });
    endpoint.script = () => "pass";
    expect(await runCli(["report", "--queue", handedOver, ...told])).toMatchObject({ exitCode: 0, stderr: "" });
    const known = await knownOf(serve, machine);
    expect(known.run).toMatchObject({ outcome: "success", verdict: "verified" });
    expect(known.events.map(({ type }) => type)).toContain("run-started");
    expect(known.events.some(isStep(/files and directories are back/) as never)).toBe(true);
  });
});

describe("an endpoint that decides", () => {
  test.each([
    [
      "boot-local",
      { action: "boot-local", reason: "no reinstallation is requested" },
      /no reinstallation is requested/,
    ],
    ["rescue", { action: "rescue", reason: "3 attempts have failed" }, /3 attempts have failed/],
    ["an action nobody knows", { action: "format", disk: "all" }, /is not understood/],
    ["another image", reinstallWith({ id: "os-9" }), /wants image os-9/],
    ["another sha256", () => reinstallWith({ id: imageId, sha256: "a".repeat(64) }), /with the sha256 aaa/],
    ["a condition that is not understood", () => ({ ...reinstallWith({ id: imageId }), onlyIf: "x" }), /onlyIf/],
    ["a yes without an image", { action: "reinstall", attempt: 1, mostAttempts: 3 }, /is not understood/],
    ["nothing", null, /is not understood/],
  ])("%s: nothing is written", async (_name, instruction, says) => {
    const body = () => (typeof instruction === "function" ? instruction() : instruction);
    await using endpoint = await startFaultyEndpoint(null, ({ what }) =>
      what === "instructions" ? { status: 200, body: body() } : { status: 503 },
    );
    await expectUntouched(endpoint.url, says);
  });

  test.each([401, 403, 404, 413, 500, 503, 302])("status %s: nothing is written", async (status) => {
    await using endpoint = await startFaultyEndpoint(null, () => ({
      status,
      headers: { location: "http://127.0.0.1:9/" },
    }));
    await expectUntouched(endpoint.url, new RegExp(`answered ${status}`));
  });

  test("it is not there, or says nothing: nothing is written", async () => {
    const endpoint = await startFaultyEndpoint(null, () => "silent");
    await expectUntouched(endpoint.url, /has not answered within 3 s/);
    await endpoint[Symbol.asyncDispose]();
    await expectUntouched(endpoint.url, /refuses connections/);
  });

  test("where it could not be asked, nothing of what it wants is taken back", async () => {
    await using serve = await openTestServe();
    const machine = await wanted(serve);
    await using endpoint = await startFaultyEndpoint(serve.url, ({ what }) =>
      what === "instructions" ? { status: 500 } : "pass",
    );
    await using kiosk = await kiosks.openFresh("mbr");
    const result = await run(kiosk, [...speaksTo(kiosk, endpoint.url, machine), ...decides]);
    expectRefused(kiosk, result, { code: "control", says: /answered 500/ });
    const known = await knownOf(serve, machine);
    expect(known.run).toMatchObject({ outcome: "failed", target: "untouched", verdict: "recorded" });
    expect(known.machine).toMatchObject({ reinstall: { state: "requested", attempt: 0 }, configuration: "reimage" });
  });

  test.each([
    ["the queue in the log of the old OS", "/kiosk/log"],
    ["boot info, where there is no log", ""],
  ])(
    "a report that was lost is told by the next run, which writes nothing and takes nothing back: by %s",
    async (_by, log) => {
      await using serve = await openTestServe();
      const machine = await wanted(serve);
      await using endpoint = await startFaultyEndpoint(serve.url, ({ what }) =>
        what === "instructions" ? "pass" : { status: 503 },
      );
      await using kiosk = await kiosks.openFresh("mbr");
      const told = [...speaksTo(kiosk, endpoint.url, machine), ...decides, "--set", `log=${log}`];
      expect(await run(kiosk, told)).toMatchObject({ exitCode: 0 });
      expect((await knownOf(serve, machine)).machine).toMatchObject({ reinstall: { state: "running" } });
      const installed = readReport(kiosk.workDir).runId as string;
      endpoint.script = () => "pass";
      const before = await kiosk.sha256();
      // What was in memory is gone, and so is the file system that the image came from.
      await Bun.$`rm -rf ${kiosk.workDir} && mkdir ${kiosk.workDir}`;
      const set = Object.entries(kiosk.byDevice).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
      const source = ["--set", "retention.list=", "--set", `image.source=${kiosks.at("mbr.img.bz2")}`];
      expect(await run(kiosk, [...told, ...set, ...source])).toMatchObject({ exitCode: 3 });
      expect(readReport(kiosk.workDir)).toMatchObject({ code: "control", target: "untouched" });
      expect(await kiosk.sha256()).toBe(before);
      const known = await knownOf(serve, machine);
      expect(known.machine).toMatchObject({ reinstall: null, imageId, configuration: "local" });
      expect(known.runs.find(({ id }) => id === installed)).toMatchObject({ outcome: "success", verdict: "verified" });
      const events = await eventsOfRun(serve, installed);
      expect(events.some(({ type }) => type === "run-started")).toBe(log !== "");
    },
  );

  test("what a run of last month has left in the old OS does not take the place of the one that is wanted now", async () => {
    await using serve = await openTestServe();
    const machine = await serve.enrol();
    await using endpoint = await startFaultyEndpoint(serve.url, () => ({ status: 503 }));
    await using kiosk = await kiosks.openFresh("mbr");
    const told = speaksTo(kiosk, endpoint.url, machine);
    expect(await run(kiosk, told)).toMatchObject({ exitCode: 0 });
    const last = readReport(kiosk.workDir).runId as string;
    endpoint.script = () => "pass";
    await serve.must("PUT", `/images/${encodeURIComponent(imageId)}`, { id: imageId });
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId });
    await Bun.$`rm -rf ${kiosk.workDir} && mkdir ${kiosk.workDir}`;
    const set = Object.entries(kiosk.byDevice).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    const source = ["--set", "retention.list=", "--set", `image.source=${kiosks.at("mbr.img.bz2")}`];
    expect(await run(kiosk, [...told, ...decides, ...set, ...source])).toMatchObject({ exitCode: 0 });
    const known = await knownOf(serve, machine);
    expect(known.machine).toMatchObject({ reinstall: null, imageId });
    const now = readReport(kiosk.workDir).runId as string;
    expect(known.runs.find(({ id }) => id === now)).toMatchObject({ attempt: 1, verdict: "verified" });
    expect(known.runs.find(({ id }) => id === last)).toMatchObject({ outcome: "success", verdict: "recorded" });
  });

  test("it says to wait; aborted meanwhile, the run ends, and the endpoint knows", async () => {
    await using serve = await openTestServe();
    const machine = await wanted(serve);
    const wait = { action: "wait", afterSeconds: 600, reason: "not yet" };
    await using endpoint = await startFaultyEndpoint(serve.url, ({ what }) =>
      what === "instructions" ? { status: 200, body: wait } : "pass",
    );
    await using kiosk = await kiosks.openFresh("mbr");
    const before = await kiosk.sha256();
    const told = speaksTo(kiosk, endpoint.url, machine);
    await using waiting = startRun(kiosk, [...told, ...decides]);
    await waiting.untilEvent(isStep(/says to wait: not yet/));
    const abort = await runCli(["abort", "--work", kiosk.workDir, "--reason", "wrong machine", ...told]);
    expect(abort).toMatchObject({ exitCode: 0, stderr: "" });
    expectRefused(kiosk, await waiting.finished, { code: "aborted", says: /wrong machine/ });
    expect(await kiosk.sha256()).toBe(before);
    const known = await knownOf(serve, machine);
    expect(known.run).toMatchObject({
      outcome: "failed",
      target: "untouched",
      reason: expect.stringContaining("wrong machine"),
    });
    expect(known.machine).toMatchObject({ reinstall: null, configuration: "local" });
  });
});

function reinstallWith(image: { id: string; sha256?: string }) {
  const bootInfo = null;
  return { action: "reinstall", attempt: 1, mostAttempts: 3, image: { url: null, sha256: null, ...image }, bootInfo };
}

async function expectUntouched(url: string, says: RegExp): Promise<void> {
  await using kiosk = await kiosks.openFresh("mbr");
  const before = await kiosk.sha256();
  const result = await run(kiosk, [...speaksTo(kiosk, url, null), ...decides]);
  expectRefused(kiosk, result, { code: "control", says });
  expect(await kiosk.sha256()).toBe(before);
}

describe("abort", () => {
  test("before the first write it wins, and the run started again writes", async () => {
    await using kiosk = await kiosks.openFresh("mbr");
    const before = await kiosk.sha256();
    await using saving = startRun(kiosk);
    await saving.untilEvent(isStage("stage-started", "save"));
    const abort = await runCli(["abort", "--work", kiosk.workDir]);
    expect(abort).toMatchObject({ exitCode: 0, stderr: "" });
    expectRefused(kiosk, await saving.finished, {
      code: "aborted",
      says: /reimage abort/,
      stage: "write",
    });
    expect(await kiosk.sha256()).toBe(before);
    expect(await run(kiosk)).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("in the last moment before the first write: nothing is written", async () => {
    await using kiosk = await kiosks.openFresh("mbr");
    const before = await kiosk.sha256();
    await using about = startRun(kiosk);
    await about.untilEvent(isStage("stage-started", "save"));
    const runId = readLastRunId(kiosk.workDir);
    const gate = await closeGate(kiosk, `first-write-${runId}.${about.pid}`);
    await about.untilEvent(isStage("stage-started", "write"));
    expect(await runCli(["abort", "--work", kiosk.workDir])).toMatchObject({ exitCode: 0, stderr: "" });
    await gate.open();
    expectRefused(kiosk, await about.finished, { code: "aborted", says: /reimage abort/, stage: "write" });
    expect(await kiosk.sha256()).toBe(before);
  });

  test("a run that was killed stays aborted", async () => {
    await using kiosk = await kiosks.openFresh("mbr");
    const before = await kiosk.sha256();
    {
      await using saving = startRun(kiosk);
      await saving.untilEvent(isStage("stage-started", "save"));
      await saving.kill();
    }
    const abort = await runCli(["abort", "--work", kiosk.workDir]);
    expect(abort).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("the control endpoint was not told") });
    expect(await run(kiosk)).toMatchObject({ exitCode: 3 });
    expect(await kiosk.sha256()).toBe(before);
  });

  test("after the first write it is refused, and the run ends well", async () => {
    await using kiosk = await kiosks.openFresh("mbr");
    await using writing = startRun(kiosk);
    await writing.untilEvent(isState("partial"));
    const abort = await runCli(["abort", "--work", kiosk.workDir]);
    expect(abort).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/does not boot[\s\S]*let the run end/) });
    expect(await writing.finished).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("in a running system it takes back the reinstallation that is wanted", async () => {
    await using serve = await openTestServe();
    const machine = await wanted(serve);
    await using kiosk = await kiosks.openFresh("mbr");
    const told = speaksTo(kiosk, serve.url, machine);
    expect(await runCli(["abort", "--work", join(kiosk.directory, "none"), ...told])).toMatchObject({ exitCode: 0 });
    expect((await knownOf(serve, machine)).machine).toMatchObject({ reinstall: null, configuration: "local" });
  });
});
