/**
 * What must hold over all the systems that this endpoint speaks for. What concerns the disk itself (only the target is
 * written, exit statuses, the restored tree) is proven on loop devices and in virtual machines.
 */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Instruction } from "../../src/control/protocol/run.ts";
import { answerNetboot } from "../../src/control/server/operations/boot.ts";
import { projectBoots } from "../../src/control/server/operations/projected-boot.ts";
import { eachDatabase, event, goodReport, oldOs, type TestMachine, type TestServe } from "../support/control-server.ts";

const actor = { name: "test", address: null };

async function ask(machine: TestMachine, runId: string, change: Record<string, unknown> = {}): Promise<Instruction> {
  const answer = await machine.post("instructions", { runId, bootInfo: oldOs, isDiskNamed: false, ...change });
  expect(answer.status).toBe(200);
  return answer.body as Instruction;
}

const look = (serve: TestServe, { id }: TestMachine) => serve.must<Machine>("GET", `/machines/${id}`);

async function request(serve: TestServe, machine: TestMachine, change: Record<string, unknown> = {}): Promise<void> {
  await serve.must("PUT", "/images/os-2", { id: "os-2" });
  await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2", ...change });
}

/** The boot configuration that a network boot gets; an hour passes before each. */
function netboots(serve: TestServe, machine: TestMachine, clock: { ms: number }) {
  return async () => {
    clock.ms += 3_600_000;
    return (await answerNetboot(serve.serve.endpoint.store, actor, machine.mac))?.configuration.name;
  };
}

async function reinstallable(serve: TestServe): Promise<void> {
  await serve.must("PUT", "/boot-configurations/reimage", {
    name: "reimage",
    kind: "linux",
    kernel: "http://x/vmlinuz",
  });
  await serve.must("PUT", "/boot-configurations/rescue", { name: "rescue", kind: "linux", kernel: "http://x/rescue" });
}

eachDatabase("invariants", (open) => {
  describe("1: what is not known means that nothing is written", () => {
    test("no mark, a mark without boot info, a lock, a parked machine: none is told to reinstall", async () => {
      await using serve = await open();
      const machine = await serve.enrol();
      const actions = new Set<string>();
      actions.add((await ask(machine, randomUUID())).action);
      await request(serve, machine);
      await serve.must("PATCH", `/machines/${machine.id}`, { locked: true });
      actions.add((await ask(machine, randomUUID())).action);
      const other = await serve.enrol();
      await request(serve, other);
      actions.add((await ask(other, randomUUID(), { bootInfo: null })).action);
      expect([...actions]).toEqual(["boot-local"]);
      expect(await look(serve, other)).toMatchObject({ reinstall: null, configuration: "local" });
    });

    test("no token, a token that waits, another machine's: refused", async () => {
      await using serve = await open();
      const [machine, other] = [await serve.enrol(), await serve.enrol()];
      const body = { runId: randomUUID(), bootInfo: null, isDiskNamed: true };
      const at = `/machines/${machine.id}/instructions`;
      expect((await serve.api("POST", at, body, null)).status).toBe(401);
      expect((await serve.api("POST", at, body, other.token)).status).toBe(403);
      expect((await serve.api("POST", at, body)).status).toBe(403); // an admin is no machine
    });
  });

  test("3: touched is said no later than the first write, and is never taken back in an attempt", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const runId = randomUUID();
    await ask(machine, runId);
    await machine.post("events", { runId, events: [event(5, { type: "target-state", state: "partial" })] });
    await machine.post("events", { runId, events: [event(6, { type: "target-state", state: "untouched" })] });
    const answer = await machine.post("abort-reinstall", { runId, target: { state: "untouched" }, reason: "no" });
    expect(answer.body).toMatchObject({ next: "retry" });
    expect((await look(serve, machine)).run?.target).toBe("partial");
  });

  describe("4: aborting", () => {
    test("untouched: mark, image, boot info and boot configuration are as before, at once", async () => {
      await using serve = await open();
      const machine = await serve.enrol();
      await ask(machine, randomUUID());
      await request(serve, machine);
      const runId = randomUUID();
      await ask(machine, runId);
      await machine.post("abort-reinstall", { runId, target: { state: "untouched" }, reason: "no memory" });
      const expected = { reinstall: null, imageId: "os-1", configuration: "local", bootInfo: oldOs };
      expect(await look(serve, machine)).toMatchObject(expected);
    });

    test("touched: the mark stays, the attempt counts, network boots go on, and after the last one it is parked", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await request(serve, machine, { mostAttempts: 2 });
      for (const attempt of [1, 2]) {
        expect(await boot()).toBe("reimage");
        const runId = randomUUID();
        expect(await ask(machine, runId)).toMatchObject({ action: "reinstall", attempt });
        await machine.post("events", { runId, events: [event(1, { type: "target-state", state: "partial" })] });
        const abort = { runId, target: { state: "partial" }, reason: "the disk is faulty" };
        const { body } = await machine.post("abort-reinstall", abort);
        expect(body).toMatchObject({ next: attempt === 1 ? "retry" : "rescue" });
      }
      const { reinstall, configuration } = await look(serve, machine);
      expect(reinstall).toMatchObject({
        state: "parked",
        attempt: 2,
        reason: expect.stringContaining("the disk is faulty"),
      });
      expect(configuration).toBe("rescue");
      expect(await boot()).toBe("rescue");
      expect((await ask(machine, randomUUID())).action).toBe("rescue");
      await serve.must("POST", `/reinstalls/${reinstall?.id}/retry`);
      expect(await boot()).toBe("reimage");
      expect(await ask(machine, randomUUID())).toMatchObject({ action: "reinstall", attempt: 1 });
    });
  });

  describe("5: success is believed when it is proven", () => {
    test.each([
      ["a disk that was not read back", { readback: null }],
      ["another image", { image: { id: "os-9", sha256: "a".repeat(64) } }],
      ["a disk that is not complete", { target: "partial" }],
    ])("%s: 422, the mark stays, and an operator has to look", async (_what, change) => {
      await using serve = await open();
      const machine = await serve.enrol();
      await request(serve, machine);
      const runId = randomUUID();
      await ask(machine, runId);
      const answer = await machine.post("report", { runId, report: goodReport("os-2", change) });
      expect(answer).toMatchObject({ status: 422, body: { code: "unverified" } });
      expect(await look(serve, machine)).toMatchObject({ reinstall: { state: "parked" }, imageId: null });
    });
  });

  describe("6: a lost report", () => {
    test("where the events said complete: the disk, and the report is waited for", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      await request(serve, machine);
      const runId = randomUUID();
      await ask(machine, runId);
      const states = [
        event(1, { type: "target-state", state: "partial" }),
        event(2, { type: "target-state", state: "complete" }),
      ];
      await machine.post("events", { runId, events: states });
      expect(await look(serve, machine)).toMatchObject({ reinstall: { state: "unreported" }, configuration: "local" });
      expect(await netboots(serve, machine, clock)()).toBe("local");
      expect(await ask(machine, randomUUID())).toEqual({ action: "report-and-boot-local", runId });
      const { body } = await machine.post("report", { runId, report: goodReport("os-2") });
      expect(body).toMatchObject({ verdict: "verified" });
      expect(await look(serve, machine)).toMatchObject({ reinstall: null, imageId: "os-2" });
    });

    test("where nothing was heard at all: the OS on the disk tells who installed it", async () => {
      await using serve = await open();
      const machine = await serve.enrol();
      await request(serve, machine);
      const runId = randomUUID();
      await ask(machine, runId);
      const again = await ask(machine, randomUUID(), { installed: { runId } });
      expect(again).toEqual({ action: "report-and-boot-local", runId });
      const { body } = await machine.post("report", { runId, report: goodReport("os-2") });
      expect(body).toMatchObject({ verdict: "verified" });
    });

    test("the same report again is answered the same, and changes nothing", async () => {
      await using serve = await open();
      const machine = await serve.enrol();
      await request(serve, machine);
      const runId = randomUUID();
      await ask(machine, runId);
      const message = { runId, report: goodReport("os-2"), bootInfo: { image_id: "os-2" } };
      const first = await machine.post("report", message);
      await request(serve, machine); // and wanted once more
      const again = await machine.post("report", message);
      expect(again.body).toEqual(first.body);
      expect((await look(serve, machine)).reinstall).toMatchObject({ state: "requested", attempt: 0 });
    });
  });

  test("another image takes the place of what is parked, and the disk stays touched", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine, { mostAttempts: 1 });
    const runId = randomUUID();
    await ask(machine, runId);
    await machine.post("abort-reinstall", { runId, target: { state: "partial" }, reason: "it does not boot there" });
    await serve.must("PUT", "/images/os-3", { id: "os-3" });
    const made = await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-3" });
    expect(made).toMatchObject({ state: "requested", target: "partial" });
    const next = randomUUID();
    expect(await ask(machine, next, { bootInfo: null })).toMatchObject({ action: "reinstall", image: { id: "os-3" } });
    const abort = { runId: next, target: { state: "untouched" }, reason: "no" };
    expect((await machine.post("abort-reinstall", abort)).body).toMatchObject({ next: "retry" });
    const { reinstalls } = await serve.must<{ reinstalls: unknown[] }>("GET", `/machines/${machine.id}/reinstalls`);
    expect(reinstalls).toMatchObject([
      { imageId: "os-3" },
      { imageId: "os-2", reason: expect.stringContaining("os-3") },
    ]);
  });

  test("a machine that has asked was seen, and from where", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    expect((await look(serve, machine)).lastSeenAt).toBeNull();
    await ask(machine, randomUUID());
    expect(await look(serve, machine)).toMatchObject({ lastSeenAt: expect.any(String), address: "127.0.0.1" });
  });

  test("a run that has failed and is started again may succeed", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await request(serve, machine);
    const runId = randomUUID();
    await ask(machine, runId);
    const failed = goodReport("os-2", { outcome: "failed", target: "partial", reason: "no room in the new OS" });
    expect((await machine.post("report", { runId, report: failed })).body).toMatchObject({ verdict: "recorded" });
    expect((await look(serve, machine)).reinstall?.state).toBe("waiting");
    expect((await machine.post("report", { runId, report: goodReport("os-2") })).body).toMatchObject({
      verdict: "verified",
    });
    expect((await machine.post("report", { runId, report: failed })).body).toMatchObject({ verdict: "verified" });
    expect(await look(serve, machine)).toMatchObject({ reinstall: null, imageId: "os-2" });
  });

  describe("7: no loop", () => {
    test("after success, firmware that still boots from the network gets the disk", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await request(serve, machine);
      expect(await boot()).toBe("reimage");
      const runId = randomUUID();
      await ask(machine, runId);
      await machine.post("report", { runId, report: goodReport("os-2") });
      expect([await boot(), await boot()]).toEqual(["local", "local"]);
    });

    test("a machine that never calls back is sent into the reinstallation as often as was allowed, then parked", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await request(serve, machine, { mostAttempts: 2 });
      expect([await boot(), await boot(), await boot(), await boot()]).toEqual([
        "reimage",
        "reimage",
        "rescue",
        "rescue",
      ]);
      expect((await look(serve, machine)).reinstall).toMatchObject({
        state: "parked",
        reason: expect.stringContaining("did not call back"),
      });
    });

    test("where a mark leads to the reimager, it must ask first; where an operator deployed it himself, he has said enough", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const isReinstall = async () => {
        clock.ms += 3_600_000;
        return (await answerNetboot(serve.serve.endpoint.store, actor, machine.mac))?.isReinstall;
      };
      await request(serve, machine);
      expect(await isReinstall()).toBe(true);
      await serve.must("POST", "/boot-configurations/reimage/deploy", { machines: [machine.id] });
      expect(await isReinstall()).toBe(false);
      expect(await answerNetboot(serve.serve.endpoint.store, actor, "52:54:00:ff:ff:ff")).toBeNull();
    });

    test("an operator who deploys the reimager himself, and does not say for how many boots, means one", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await serve.must("POST", "/boot-configurations/reimage/deploy", { machines: [machine.id] });
      expect([await boot(), await boot(), await boot()]).toEqual(["reimage", "local", "local"]);
    });

    test("where nobody has said how the reimager boots, that is why it is parked", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await request(serve, machine, { mostAttempts: 1 });
      expect([await boot(), await boot()]).toEqual(["local", "local"]);
      const reason = "there is no boot configuration reimage: 1 network boots have led to the disk";
      expect((await look(serve, machine)).reinstall).toMatchObject({ state: "parked", reason });
    });

    test("a locked machine gets its disk, and no boot is counted; unlocked, it is reinstalled", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      const boot = netboots(serve, machine, clock);
      await request(serve, machine, { mostAttempts: 1 });
      await serve.must("PATCH", `/machines/${machine.id}`, { locked: true });
      const { store } = serve.serve.endpoint;
      const projected = async () => (await projectBoots(store, [machine.id]))[0]?.boot?.configuration;
      expect([await projected(), await boot(), await boot()]).toEqual(["local", "local", "local"]);
      await serve.must("PATCH", `/machines/${machine.id}`, { locked: false });
      expect([await projected(), await boot()]).toEqual(["reimage", "reimage"]);
    });

    test("the reimager is not for a machine without a mark, whatever is left in the database", async () => {
      const clock = { ms: Date.now() };
      await using serve = await open({ now: () => clock.ms });
      await reinstallable(serve);
      const machine = await serve.enrol();
      await request(serve, machine);
      const { reinstall } = await look(serve, machine);
      await serve.must("DELETE", `/reinstalls/${reinstall?.id}`);
      const left = { configuration: "reimage", boots: null, by_operator: 0 };
      await serve.serve.endpoint.store.db.updateTable("deployments").set(left).execute();
      expect(await netboots(serve, machine, clock)()).toBe("local");
    });
  });

  test("a request that is sent twice is one; another one meanwhile is refused", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    const send = (key: string) =>
      serve.api("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" }, serve.adminToken, {
        "idempotency-key": key,
      });
    const [first, again, other] = [await send("one"), await send("one"), await send("two")];
    expect([first.status, again.status, other.status]).toEqual([201, 200, 409]);
    expect(again.body).toEqual(first.body);
  });
});
