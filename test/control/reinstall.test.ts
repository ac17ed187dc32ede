/** Reinstallations over the real API, on both databases. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { eachDatabase, event, goodReport, oldOs, type TestServe } from "../support/control-server.ts";

async function prepare(serve: TestServe) {
  await serve.must("PUT", "/images/os-2", { id: "os-2" });
  const machine = await serve.enrol();
  const runId = randomUUID();
  const ask = (body = {}) => machine.post("instructions", { runId, bootInfo: oldOs, isDiskNamed: false, ...body });
  return { machine, runId, ask, state: () => serve.must<Machine>("GET", `/machines/${machine.id}`) };
}

eachDatabase("reinstall", (open) => {
  test("a whole reinstallation: requested, asked for, written, reported, marked no more", async () => {
    await using serve = await open();
    const { machine, runId, ask, state } = await prepare(serve);
    expect((await ask()).body).toMatchObject({ action: "boot-local" });
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
    expect(await state()).toMatchObject({ configuration: "reimage", reinstall: { state: "requested" } });
    expect((await ask()).body).toMatchObject({ action: "reinstall", attempt: 1, image: { id: "os-2" } });
    const events = [
      event(1, { type: "run-started" }),
      event(2, { type: "target-state", state: "partial" }),
      event(3, { type: "progress", stage: "write", what: "writing the image", doneBytes: 5, totalBytes: 10 }),
    ];
    expect((await machine.post("events", { runId, events })).body).toEqual({ lastSeq: 3 });
    expect(await state()).toMatchObject({ reinstall: { state: "writing" }, run: { doneBytes: 5, target: "partial" } });
    const report = await machine.post("report", { runId, report: goodReport("os-2"), bootInfo: { image_id: "os-2" } });
    expect(report.body).toEqual({ verdict: "verified", reason: null });
    expect(await state()).toMatchObject({ reinstall: null, imageId: "os-2", configuration: "local" });
    expect((await ask({ runId: randomUUID() })).body).toMatchObject({ action: "boot-local" });
  });

  test("an abort before the first write takes everything back", async () => {
    await using serve = await open();
    const { machine, runId, ask, state } = await prepare(serve);
    await ask(); // tells what it runs
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
    await ask();
    const abort = { runId, target: { state: "untouched" }, reason: "too little memory" };
    const answer = await machine.post("abort-reinstall", abort);
    expect(answer.body).toMatchObject({ next: "boot-old-os", bootInfo: { image_id: "os-1" } });
    expect(await state()).toMatchObject({ reinstall: null, imageId: "os-1", configuration: "local" });
    expect((await machine.post("abort-reinstall", abort)).body).toEqual(answer.body);
  });
});
