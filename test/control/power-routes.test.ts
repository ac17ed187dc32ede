/** Power over the API: jobs that end, and what is refused before anything is switched. */
import { expect, test } from "bun:test";
import type { PowerJob } from "../../src/control/protocol/power.ts";
import { SERVE } from "../../src/control/server/operations/actor.ts";
import { changeMachine } from "../../src/control/server/operations/machines.ts";
import { powerAdapterSchema } from "../../src/control/server/power/adapter.ts";
import { eachDatabase, type TestMachine, type TestServe } from "../support/control-server.ts";

/** A controller that always says that the machine is on, unless it is told to fail. */
const adapter = powerAdapterSchema.parse({
  name: "echo",
  commands: {
    on: ["/bin/echo", "done"],
    reset: ["/bin/echo", "done"],
    status: ["/bin/echo", "power is {{answer}}"],
    "next-boot-network": ["/bin/sh", "-c", "exit $1", "sh", "{{status}}"],
  },
  statusOn: "^power is on$",
  statusOff: "^power is off$",
  retries: 0,
});

async function withPower(serve: TestServe, machine: TestMachine, variables: Record<string, string>): Promise<void> {
  await changeMachine(serve.serve.endpoint.store, SERVE, machine.id, { power: { adapter: "echo", variables } });
}

async function ended(serve: TestServe, id: string): Promise<PowerJob> {
  for (;;) {
    const job = await serve.must<PowerJob>("GET", `/power-jobs/${id}`);
    if (job.endedAt !== null) return job;
    await Bun.sleep(20);
  }
}

eachDatabase("power", (open) => {
  test("a job is begun, done, and told of", async () => {
    await using serve = await open({ powerAdapters: [adapter] });
    const machine = await serve.enrol();
    await withPower(serve, machine, { answer: "on", status: "0" });
    const job = await serve.must<PowerJob>("POST", `/machines/${machine.id}/power`, { action: "status" });
    expect(await ended(serve, job.id)).toMatchObject({ state: "done", power: "on", machineId: machine.id });
  });

  test("a reinstallation that is to power the machine says which job does", async () => {
    await using serve = await open({ powerAdapters: [adapter] });
    const machine = await serve.enrol();
    await withPower(serve, machine, { answer: "on", status: "0" });
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    const made = await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2", powerCycle: true });
    expect(await ended(serve, String(made.powerJobId))).toMatchObject({ action: "boot-from-network", state: "done" });
  });

  test("where the boot device cannot be set the job fails, and says so", async () => {
    await using serve = await open({ powerAdapters: [adapter] });
    const machine = await serve.enrol();
    await withPower(serve, machine, { answer: "on", status: "3" });
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    const made = await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2", powerCycle: true });
    const job = await ended(serve, String(made.powerJobId));
    expect(job).toMatchObject({ state: "failed", message: expect.stringContaining("next-boot-network") });
  });

  test("without an adapter: refused, and nothing is requested or deployed", async () => {
    await using serve = await open();
    const [machine, other] = [await serve.enrol(), await serve.enrol()];
    await withPower(serve, other, { answer: "on", status: "0" }); // an adapter that this endpoint does not have
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("PUT", "/boot-configurations/x", { name: "x", kind: "linux", kernel: "http://x/vmlinuz" });
    for (const { id } of [machine, other]) {
      const wanted = { imageId: "os-2", powerCycle: true };
      expect((await serve.api("POST", `/machines/${id}/reinstalls`, wanted)).status).toBe(409);
      expect((await serve.api("POST", `/machines/${id}/power`, { action: "on" })).status).toBe(409);
      const deploy = { machines: [id], powerCycle: true };
      expect((await serve.api("POST", "/boot-configurations/x/deploy", deploy)).status).toBe(409);
      expect(await serve.must("GET", `/machines/${id}`)).toMatchObject({ reinstall: null, configuration: "local" });
    }
  });
});
