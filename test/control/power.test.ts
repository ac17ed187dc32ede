/** The ipmitool preset against simulated BMCs. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { execa } from "execa";
import type { PowerAdapter, PowerVariables } from "../../src/control/server/power/adapter.ts";
import { bootFromNetwork } from "../../src/control/server/power/boot-from-network.ts";
import { createPowerQueue } from "../../src/control/server/power/jobs.ts";
import { powerPresets } from "../../src/control/server/power/presets.ts";
import { runPower } from "../../src/control/server/power/run.ts";
import { ReimageError } from "../../src/errors.ts";
import { type SimulatedBmc, startSilentBmc, startSimulatedBmc } from "../support/simulated-bmc.ts";

// The simulator does not list its cipher suites, which costs the preset without a suite 5 s a command.
const ipmitool: PowerAdapter = powerPresets["ipmitool-cipher-3"];
const HARD_PASSWORD = "p w'\"$(id)`é\\;-";

async function refusalOf(call: Promise<unknown>): Promise<ReimageError> {
  const thrown = await call.then(
    (result) => new Error(`it succeeded: ${JSON.stringify(result)}`),
    (error: unknown) => error,
  );
  if (thrown instanceof ReimageError && thrown.code === "power") return thrown;
  throw thrown;
}

/** What the BMC itself says of the next boot. */
async function bootParameters(bmc: SimulatedBmc): Promise<string> {
  const { address, port, user, password } = bmc.variables("");
  const session = ["-I", "lanplus", "-C", "3", "-H", address, "-p", port, "-U", user, "-E"];
  const env = { IPMI_PASSWORD: password };
  return (await execa("ipmitool", [...session, "chassis", "bootparam", "get", "5"], { env })).stdout;
}

test("on, off, reset and status", async () => {
  await using bmc = await startSimulatedBmc();
  const run = (action: "on" | "off" | "reset" | "status") => runPower(ipmitool, action, bmc.variables("kiosk-7"));
  expect(await run("status")).toEqual({ power: "off", output: "Chassis Power is off" });
  expect(await run("on")).toEqual({ power: null, output: "Chassis Power Control: Up/On" });
  expect(await run("status")).toMatchObject({ power: "on" });
  expect(await run("reset")).toMatchObject({ output: "Chassis Power Control: Reset" });
  expect(await run("off")).toMatchObject({ output: "Chassis Power Control: Down/Off" });
  expect(await run("reset")).toMatchObject({ output: "Chassis Power Control: Up/On" });
  expect(bmc.sets()).toEqual(["power 1", "reset 1", "power 0", "power 1"]);
});

test("the next boot, from network and disk, for once", async () => {
  await using bmc = await startSimulatedBmc();
  await runPower(ipmitool, "next-boot-network", bmc.variables("kiosk-7"));
  const network = await bootParameters(bmc);
  expect(network).toContain("Force PXE");
  expect(network).toContain("Options apply to only next boot");
  await runPower(ipmitool, "next-boot-disk", bmc.variables("kiosk-7"));
  expect(await bootParameters(bmc)).toContain("Force Boot from default Hard-Drive");
  expect(bmc.sets()).toEqual(["boot pxe", "boot default"]);
});

test("bootOptions: efiboot asks for a UEFI boot, and without it for none", async () => {
  await using bmc = await startSimulatedBmc();
  // The simulator forgets the bit, so it is what ipmitool says it sends (byte 1: 0x80 valid, 0x20 EFI), and then a failure
  // on purpose, since what it says is in the error.
  const [program = "", ...args] = ipmitool.commands["next-boot-network"] ?? [];
  const commands = { "next-boot-network": [program, "-vv", ...args] };
  const verbose = { ...ipmitool, commands, expected: { "next-boot-network": "^never$" }, retries: 0 };
  const sent = async (variables: PowerVariables) =>
    /Boot Parameter 5 to (\w+)/.exec((await refusalOf(runPower(verbose, "next-boot-network", variables))).message)?.[1];
  expect(await sent(bmc.variables("kiosk-7"))).toBe("8004000000");
  expect(await sent({ ...bmc.variables("kiosk-7"), bootOptions: "efiboot" })).toBe("a004000000");
});

test("a machine starts from the network: on where it is off, reset where it is on", async () => {
  await using bmc = await startSimulatedBmc();
  await bootFromNetwork(ipmitool, bmc.variables("kiosk-7"));
  await bootFromNetwork(ipmitool, bmc.variables("kiosk-7"));
  expect(bmc.sets()).toEqual(["boot pxe", "power 1", "boot pxe", "reset 1"]);
});

test("a BMC that refuses the boot device leaves the power alone", async () => {
  await using bmc = await startSimulatedBmc();
  bmc.setPower("on");
  bmc.refuse("boot");
  const error = await refusalOf(bootFromNetwork(ipmitool, bmc.variables("kiosk-7")));
  expect(error.message).toContain("kiosk-7: the next boot could not be set to the network; its power was not touched");
  expect(String(error.cause)).toContain("kiosk-7: power next-boot-network: ipmitool");
  expect(String(error.cause)).toContain("Set Chassis Boot Parameter 5 failed");
  expect(bmc.sets()).toEqual([]);
});

test("a BMC that refuses the reset", async () => {
  await using bmc = await startSimulatedBmc();
  bmc.setPower("on");
  bmc.refuse("reset");
  const error = await refusalOf(runPower(ipmitool, "reset", bmc.variables("kiosk-7")));
  expect(error.message).toMatch(/^kiosk-7: power reset: ipmitool .* ended with status 1: .*Set Chassis Power Control/s);
  expect(bmc.sets()).toEqual([]);
});

test("a password with spaces, quotes and $() works, and is seen nowhere", async () => {
  await using bmc = await startSimulatedBmc(HARD_PASSWORD);
  expect(await runPower(ipmitool, "status", bmc.variables("kiosk-7"))).toMatchObject({ power: "off" });
  bmc.refuse("power");
  const error = await refusalOf(runPower(ipmitool, "on", bmc.variables("kiosk-7")));
  expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(HARD_PASSWORD);
});

test("a wrong password is refused, and not said", async () => {
  await using bmc = await startSimulatedBmc();
  const adapter = { ...ipmitool, retries: 0 };
  const variables = { ...bmc.variables("kiosk-7"), password: "wrong horse" };
  const error = await refusalOf(runPower(adapter, "on", variables));
  expect(error.message).toMatch(
    /^kiosk-7: power on: ipmitool .* ended with status 1: Error: Unable to establish IPMI/s,
  );
  expect(error.message).not.toContain("wrong horse");
  expect(bmc.sets()).toEqual([]);
});

test("the preset that asks for the cipher suites", async () => {
  await using bmc = await startSimulatedBmc();
  expect(await runPower(powerPresets.ipmitool, "status", bmc.variables("kiosk-7"))).toMatchObject({ power: "off" });
}, 20_000);

test("a BMC that is silent: ipmitool gives up, or is killed; its arguments hold no password", async () => {
  await using bmc = await startSilentBmc();
  const variables = { ...bmc.variables("kiosk-7"), password: "a secret" };
  const patient = refusalOf(runPower({ ...ipmitool, retries: 0 }, "status", variables));
  const hasty = refusalOf(runPower({ ...ipmitool, retries: 0, timeoutSeconds: 1 }, "status", variables));
  while (bmc.packets() === 0) await Bun.sleep(10);
  const seen = commandLines().filter((argv) => argv.includes(variables.port) && argv[0]?.endsWith("ipmitool"));
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.flat()).not.toContain("a secret");
  expect((await hasty).message).toContain("was killed: no end after 1 s");
  expect((await patient).message).toContain("ended with status 1: Error: Unable to establish IPMI v2 / RMCP+ session");
}, 60_000);

test("a BMC that is slow", async () => {
  await using bmc = await startSimulatedBmc();
  bmc.setDelay(3);
  expect(await runPower(ipmitool, "status", bmc.variables("kiosk-7"))).toMatchObject({ power: "off" });
  await runPower(ipmitool, "on", bmc.variables("kiosk-7"));
  expect(bmc.sets()).toContain("power 1");
}, 120_000);

test("twenty machines at once, one of them silent: twenty results, and no more processes than allowed", async () => {
  await using cleanup = new AsyncDisposableStack();
  const bmcs = await Promise.all(Array.from({ length: 19 }, () => startSimulatedBmc()));
  for (const bmc of bmcs) cleanup.use(bmc);
  const silent = cleanup.use(await startSilentBmc());
  const queue = cleanup.use(createPowerQueue({ parallel: 4, jobTimeoutSeconds: 120 }));
  const adapter = { ...ipmitool, retries: 0, timeoutSeconds: 5 };
  const variables = [silent, ...bmcs].map((bmc, n) => bmc.variables(`kiosk-${n}`));
  const jobs = variables.map((each) => queue.submit({ adapter, action: "boot-from-network", variables: each }));
  const ports = new Set(variables.map((each) => each.port));
  let most = 0;
  const done = Promise.all(jobs.map((job) => job.outcome));
  while ((await Promise.race([done, Bun.sleep(5)])) === undefined) {
    const running = commandLines().filter(
      (argv) => argv[0]?.endsWith("ipmitool") && argv.some((each) => ports.has(each)),
    );
    most = Math.max(most, running.length);
  }
  expect((await done).map((outcome) => outcome.ok)).toEqual(jobs.map((_, n) => n !== 0));
  for (const bmc of bmcs) expect(bmc.sets()).toEqual(["boot pxe", "power 1"]);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(4);
}, 120_000);

function commandLines(): string[][] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")];
      } catch {
        return []; // ended meanwhile
      }
    });
}
