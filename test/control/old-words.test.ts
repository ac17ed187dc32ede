/** Words that come late, or of runs that have nothing to do with the reinstallation that is wanted now. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Instruction } from "../../src/control/protocol/run.ts";
import { eachDatabase, event, goodReport, oldOs, type TestMachine, type TestServe } from "../support/control-server.ts";

async function ask(machine: TestMachine, runId: string, change: Record<string, unknown> = {}): Promise<Instruction> {
  const answer = await machine.post("instructions", { runId, bootInfo: oldOs, isDiskNamed: false, ...change });
  expect(answer.status).toBe(200);
  return answer.body as Instruction;
}

const look = (serve: TestServe, { id }: TestMachine) => serve.must<Machine>("GET", `/machines/${id}`);

async function request(serve: TestServe, machine: TestMachine, change: Record<string, unknown> = {}): Promise<string> {
  await serve.must("PUT", "/images/os-2", { id: "os-2" });
  const body = { imageId: "os-2", ...change };
  return (await serve.must<{ id: string }>("POST", `/machines/${machine.id}/reinstalls`, body)).id;
}

const states = (...names: string[]) => names.map((state, at) => event(at + 1, { type: "target-state", state }));

eachDatabase("old words", (open) => {
  test("what a run of last month could not send changes nothing of what is wanted now", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const [last, now] = [randomUUID(), randomUUID()];
    // Its queue was found on the old OS's disk, and is sent before the endpoint is asked, or meanwhile.
    await machine.post("events", { runId: last, events: states("partial", "complete") });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "requested", attempt: 0 });
    const report = await machine.post("report", { runId: last, report: goodReport("os-1") });
    expect(report).toMatchObject({ status: 200, body: { verdict: "recorded" } });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "requested", attempt: 0 });
    expect(await ask(machine, now)).toMatchObject({ action: "reinstall", attempt: 1 });
  });

  test("nor does a run that the endpoint knows from before, whoever wanted it", async () => {
    const clock = { ms: Date.now() };
    await using serve = await open({ now: () => clock.ms });
    const machine = await serve.enrol();
    const [first, unasked, present, now] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    await request(serve, machine);
    await ask(machine, first);
    await machine.post("abort-reinstall", { runId: first, target: { state: "untouched" }, reason: "not today" });
    await machine.post("events", { runId: unasked, events: [event(1, { type: "run-started" })] });
    await ask(machine, randomUUID(), { bootInfo: { ...oldOs, run_id: present } });
    clock.ms += 1000;
    await request(serve, machine);
    for (const runId of [first, unasked, present]) {
      await machine.post("events", { runId, events: [event(2, { type: "target-state", state: "partial" })] });
      await machine.post("report", { runId, report: goodReport("os-2") });
      await machine.post("abort-reinstall", { runId, target: { state: "untouched" }, reason: "late" });
      expect((await look(serve, machine)).reinstall).toMatchObject({ state: "requested", attempt: 0 });
    }
    expect(await ask(machine, now)).toMatchObject({ action: "reinstall", attempt: 1 });
  });

  test("and does not take the place of the run under way", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const [last, now] = [randomUUID(), randomUUID()];
    expect(await ask(machine, now)).toMatchObject({ action: "reinstall", attempt: 1 });
    await machine.post("events", { runId: last, events: states("partial", "complete") });
    await machine.post("report", { runId: last, report: goodReport("os-2") });
    const { run, reinstall } = await look(serve, machine);
    expect(run?.id).toBe(now);
    expect(reinstall).toMatchObject({ state: "running", attempt: 1 });
    await machine.post("events", { runId: now, events: states("partial") });
    const { body } = await machine.post("abort-reinstall", { runId: now, target: { state: "partial" }, reason: "EIO" });
    expect(body).toMatchObject({ next: "retry", attempt: 2 });
    await machine.post("report", { runId: last, report: goodReport("os-2") });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "waiting", attempt: 1 });
  });

  test("a late success of an attempt that another one has overwritten since, and failed, is not the end", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const [first, second] = [randomUUID(), randomUUID()];
    await ask(machine, first);
    await ask(machine, second);
    const failed = goodReport("os-2", { outcome: "failed", target: "partial", reason: "EIO" });
    await machine.post("report", { runId: second, report: failed });
    await machine.post("report", { runId: first, report: goodReport("os-2") });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "waiting", attempt: 2 });
  });

  test("a run that was sent away does not take the place of the one whose report is missing", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const [first, second] = [randomUUID(), randomUUID()];
    await ask(machine, first);
    await machine.post("events", { runId: first, events: states("partial", "complete") });
    expect((await ask(machine, second)).action).toBe("report-and-boot-local");
    const failed = goodReport("os-2", { outcome: "failed", target: "untouched", reason: "not wanted" });
    await machine.post("report", { runId: second, report: failed });
    expect(await ask(machine, randomUUID())).toEqual({ action: "report-and-boot-local", runId: first });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "unreported", attempt: 1 });
  });

  test("an OS that was not believed in, and that an operator wants tried again, is replaced", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    const id = await request(serve, machine);
    const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()];
    await ask(machine, first);
    const { status } = await machine.post("report", { runId: first, report: goodReport("os-2", { readback: null }) });
    expect(status).toBe(422);
    await serve.must("POST", `/reinstalls/${id}/retry`);
    const installed = { runId: first };
    expect(await ask(machine, second, { installed })).toMatchObject({ action: "reinstall", attempt: 1 });
    // It fails before it writes: it is tried again, and nobody waits for a report that cannot come.
    const failed = goodReport("os-2", { outcome: "failed", target: "untouched", reason: "the image is not there" });
    await machine.post("report", { runId: second, report: failed });
    const abort = { runId: second, target: { state: "untouched" }, reason: "the image is not there" };
    expect((await machine.post("abort-reinstall", abort)).body).toMatchObject({ next: "retry" });
    expect((await look(serve, machine)).reinstall).toMatchObject({ state: "waiting", attempt: 1 });
    expect((await ask(machine, third, { installed })).action).toBe("wait");
  });

  test("a report that never comes is not waited for for ever: an operator has it done again", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    const id = await request(serve, machine);
    const first = randomUUID();
    await ask(machine, first);
    await machine.post("events", { runId: first, events: states("partial", "complete") });
    expect((await serve.api("DELETE", `/reinstalls/${id}`)).status).toBe(409);
    await serve.must("POST", `/reinstalls/${id}/retry`);
    const installed = { runId: first };
    expect(await ask(machine, randomUUID(), { installed })).toMatchObject({ action: "reinstall", attempt: 1 });
  });

  test("a clock of the endpoint that was set back by a year holds nobody up", async () => {
    const clock = { ms: Date.now() };
    await using serve = await open({ now: () => clock.ms });
    const machine = await serve.enrol();
    await request(serve, machine);
    const runId = randomUUID();
    await ask(machine, runId);
    const failed = goodReport("os-2", { outcome: "failed", target: "partial", reason: "EIO" });
    await machine.post("report", { runId, report: failed });
    expect((await ask(machine, randomUUID())).action).toBe("wait");
    clock.ms -= 365 * 86_400_000;
    expect(await ask(machine, randomUUID())).toMatchObject({ action: "reinstall", attempt: 2 });
  });

  test("a machine that has fallen silent during its reinstallation can be removed, and one that speaks cannot", async () => {
    const clock = { ms: Date.now() };
    await using serve = await open({ now: () => clock.ms });
    const machine = await serve.enrol();
    await request(serve, machine);
    await ask(machine, randomUUID());
    expect((await serve.api("DELETE", `/machines/${machine.id}`)).status).toBe(409);
    clock.ms += 2 * 3_600_000;
    expect((await serve.api("DELETE", `/machines/${machine.id}`)).status).toBe(204);
    expect(
      (await machine.post("instructions", { runId: randomUUID(), bootInfo: oldOs, isDiskNamed: true })).status,
    ).toBe(401);
  });
});
