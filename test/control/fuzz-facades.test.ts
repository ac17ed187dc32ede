/** Hostile requests to every route of the compatible facades: never a 5xx, and nothing that was not expected. */
import { expect, test } from "bun:test";
import { type FacadeName, facades } from "../../src/control/server/facades/mount.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase } from "../support/control-server.ts";
import { mutateJson } from "../support/mutate-json.ts";
import { hostileTokens } from "../support/mutate-text.ts";
import { createRandom, type Random } from "../support/random.ts";

const CASES = Number(process.env.FUZZ_API_CASES ?? 5000) / 10;
const names = Object.keys(facades) as FacadeName[];

/** Fields of all of the protocols, so that some of what is sent is understood. */
const plausible = (machine: { id: string; mac: string }) => ({
  ...{ id: machine.id, uuid: machine.id, machineID: machine.id, image: "os-1", imageid: "os-1", description: "x" },
  ...{
    bootInfo: { ImageID: "os-1", PrimaryDisk: "/dev/sda", Cmdline: "x" },
    success: true,
    message: "m",
    event: "Alive",
  },
  ...{
    hosts: [{ id: 1, name: "x", macAddress: machine.mac }],
    configuration: { name: "local" },
    console_password: "x",
  },
  ...{
    hardware: {
      memory: 1,
      cpu_cores: 1,
      nics: [{ mac: machine.mac, name: "eth0" }],
      disks: [{ name: "sda", size: 1 }],
    },
  },
});

function bodyOf(random: Random, machine: { id: string; mac: string }): string {
  const value = plausible(machine);
  return random.pick([
    JSON.stringify(value),
    mutateJson(value, random),
    random.pick(hostileTokens),
    "",
    '{"a":"\\u0000"}',
  ]);
}

eachDatabase("the facades", (open) => {
  test(`take ${CASES} requests of all kinds`, async () => {
    const facadeOptions = { names, clients: [parseAddressRange("127.0.0.1")], metalWaitSeconds: 0.05 };
    await using serve = await open({ facades: facadeOptions });
    await serve.must("PUT", "/images/os-1", { id: "os-1" });
    const machine = await serve.enrol();
    const routes = names.flatMap((name) => facades[name](serve.serve.endpoint, facadeOptions).routes);
    const real = routes.filter(({ method }) => method !== "ALL");
    expect(real.length).toBeGreaterThan(15);
    const random = createRandom(5);
    const statuses = new Map<number, number>();
    for (let n = 0; n < CASES; n += 1) {
      const { method, path } = random.pick(real);
      const values = [machine.id, machine.mac, "1", "local", ...hostileTokens.map((token) => token.slice(0, 200))];
      const value = () => encodeURIComponent(random.pick(values).toWellFormed());
      const query = ["step", "node", "mac", "macAddress", "id", "name", "status"].map((key) => `${key}=${value()}`);
      const address = `${path.replace(/:\w+(\{[^}]*\})?\??/g, value)}?${random.chance(0.5) ? query.join("&") : ""}`;
      const isReading = method === "GET" || method === "HEAD";
      const response = await fetch(`${serve.url}${address}`, {
        method,
        signal: AbortSignal.timeout(20_000),
        headers: { "content-type": random.pick(["application/json", "application/json", "text/plain"]) },
        ...(isReading ? {} : { body: bodyOf(random, machine) }),
      });
      const text = await response.text();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      // metal-core says 500 to a body that it cannot read, and so does its facade; a mistake of ours would be in the log.
      const isMetals = response.status === 500 && text.startsWith('{"statuscode":500,');
      const what = `${method} ${address.slice(0, 300)}: ${response.status} ${text.slice(0, 200)} ${serve.log.slice(1).join("\n")}`;
      if (response.status >= 500 && !isMetals) throw new Error(what);
    }
    expect(statuses.get(200) ?? 0).toBeGreaterThan(5);
    expect([...statuses.keys()].length).toBeGreaterThan(2);
    expect(serve.log.filter((line) => !line.includes("admin token"))).toEqual([]);
  }, 300_000);
});
