/** The recorded requests and answers of metal-core and metal-api. */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { eachDatabase } from "../support/control-server.ts";
import { addAdapter, addMachine, type MetalMachine, openMetal, type TestMetal } from "../support/metal.ts";
import { metalApi } from "./tables/metal-api.ts";
import { metalCore } from "./tables/metal-core.ts";
import { metalFleet } from "./tables/metal-fleet.ts";
import type { Given, Row } from "./tables/metal-row.ts";

const registration = {
  partitionid: "north",
  rackid: "rack-7",
  tags: ["fast"],
  ipmi: { address: "10.0.0.7", mac: "", user: "metal", password: "secret", interface: "lanplus" },
};

/** Brings a machine where the row wants it. */
async function prepare(metal: TestMetal, given: Given): Promise<Pick<MetalMachine, "id" | "mac">> {
  if (given === "unknown" || given === "discovered") {
    const machine = { id: randomUUID(), mac: "52:54:00:ab:cd:ef" };
    const body = { uuid: machine.id, hardware: { nics: [{ mac: machine.mac, name: "eth0" }] }, ...registration };
    if (given === "discovered") await metal.call("POST", "/v1/machine/register", body);
    return machine;
  }
  const machine = await addMachine(metal);
  const { id } = machine;
  const reinstall = (imageid: string) => metal.call("POST", `/v1/machine/${id}/reinstall`, { id, imageid });
  if (given === "locked") await metal.call("POST", `/v1/machine/${id}/state`, { value: "LOCKED", description: "why" });
  if (given === "freed") await metal.call("DELETE", `/v1/machine/${id}/free`);
  if (given === "with power") await addAdapter(metal, id);
  if (given === "adapter missing") await addAdapter(metal, id, "somewhere-else");
  if (given === "requested without url") await reinstall("os-unfetched");
  const steps = ["requested", "booted", "registered", "writing"].indexOf(given);
  const isBegun = steps >= 2 || given === "reported" || given === "aborted" || given === "parked";
  if (steps >= 0 || isBegun) await reinstall("os-2");
  if (steps === 1 || isBegun) {
    await metal.call("GET", `/v1/dhcp/${id}`);
    await machine.boot();
  }
  if (isBegun) {
    for (const event of ["Preparing", "Registering"]) await machine.event(event);
    await machine.register();
  }
  if (given === "writing") await machine.event("Installing");
  if (given === "reported") await machine.report();
  if (given === "aborted") await machine.abort(false);
  if (given === "parked") {
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await machine.abort(true);
      await machine.boot();
    }
  }
  return machine;
}

/** Puts the machine's names in for `{id}` and the like, wherever they stand. */
function fill<T>(value: T, { id, mac }: Pick<MetalMachine, "id" | "mac">): T {
  if (value === undefined || value instanceof RegExp) return value;
  const names = { id, ID: id.toUpperCase(), mac, MAC: mac.toUpperCase().replaceAll(":", "-"), other: randomUUID() };
  const text = Object.entries(names).reduce(
    (all, [name, by]) => all.replaceAll(`{${name}}`, by),
    JSON.stringify(value),
  );
  return JSON.parse(text);
}

eachDatabase("metal", (open) => {
  describe.each([
    ["metal-core", metalCore],
    ["metal-api", metalApi],
    ["metal-api, the fleet", metalFleet],
  ] as const)("%s", (_name, rows) => {
    test.each(rows.map((row, index): [number, string, Row] => [index, `${row.given}: ${row.method} ${row.path}`, row]))(
      "%i %s",
      async (_index, _title, row) => {
        await using metal = await openMetal(open);
        const machine = await prepare(metal, row.given);
        const path = fill(row.path, machine);
        const { status, body } = await metal.call(row.method, path, fill(row.body, machine));
        const { answer } = row;
        if (answer instanceof RegExp) {
          expect({ status, body }).toEqual({
            status: row.status,
            body: { statuscode: row.status, message: expect.stringMatching(answer) },
          });
        } else if (answer === null || answer === "" || Array.isArray(answer)) {
          expect(status).toBe(row.status);
          if (Array.isArray(answer)) expect(body).toMatchObject(fill(answer, machine));
          else expect(body).toBe(answer);
        } else {
          expect({ status, body }).toMatchObject({ status: row.status, body: fill(answer, machine) });
        }
      },
    );
  });

  test("a machine whose power cannot be switched is not marked", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await addAdapter(metal, machine.id, "somewhere-else");
    await machine.reinstall();
    expect(await machine.state()).toMatchObject({ reinstall: null });
  });

  test("with an adapter, a reinstallation boots the machine from the network, and says by which job", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await addAdapter(metal, machine.id);
    await machine.reinstall();
    const { reinstalls } = await metal.serve.must<{ reinstalls: { powerJobId: string }[] }>(
      "GET",
      `/machines/${machine.id}/reinstalls`,
    );
    const job = await metal.serve.must("GET", `/power-jobs/${reinstalls[0]?.powerJobId}`);
    expect(job).toMatchObject({ action: "boot-from-network", machineId: machine.id });
  });

  test("whoever calls from elsewhere is refused, on every route", async () => {
    await using serve = await open({ facades: { names: ["metal"], clients: [] } });
    const machine = { id: randomUUID(), mac: "52:54:00:00:00:01" };
    const requests = new Set(
      [...metalCore, ...metalApi, ...metalFleet].map(({ method, path }) => `${method} ${fill(path, machine)}`),
    );
    for (const request of requests) {
      const [method = "", path] = request.split(" ");
      const { status } = await fetch(`${serve.url}${path}`, { method });
      expect(`${request} ${status}`).toBe(`${request} 403`);
    }
  });

  test("no more than a hundred events of a machine are kept", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    for (let count = 0; count < 110; count += 1) await machine.event("Planned Reboot");
    const { body } = await metal.call("GET", `/v1/machine/${machine.id}/event`);
    expect((body as { log: unknown[] }).log).toHaveLength(100);
    const { db } = metal.serve.serve.endpoint.store;
    expect(await db.selectFrom("provisioning_events").selectAll().execute()).toHaveLength(100);
  });

  test("whoever makes machines up is stopped, and the machines that are known are not", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    const { db } = metal.serve.serve.endpoint.store;
    for (let made = 0; made < 2000; made += 100) {
      const rows = Array.from({ length: 100 }, () => ({ id: randomUUID(), state: "discovered" as const }));
      await db
        .insertInto("machines")
        .values(rows.map((row) => ({ ...row, locked: 0, created_at: 0 })))
        .execute();
    }
    const made = randomUUID();
    const crowd = { status: 429, body: { statuscode: 429 } };
    expect(await metal.call("POST", `/v1/machine/${made}/event`, { event: "Alive" })).toMatchObject(crowd);
    expect(await metal.call("POST", "/v1/machine/register", { uuid: made })).toMatchObject(crowd);
    expect((await machine.event("Alive")).status).toBe(200);
    expect(await metal.call("GET", `/v1/machine/${made}`)).toMatchObject({ status: 404 });
  });

  test("the cards of a machine that an operator has named stay as he has named them", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await machine.reinstall();
    await metal.call("POST", `/machine/register/${machine.id}`, { nics: [{ mac: "52:54:00:99:99:99" }] });
    expect((await machine.state()).macs).toEqual([machine.mac]);
  });
});
