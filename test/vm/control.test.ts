/** Machines that are told of over the network, to a real endpoint on the machine that the tests run on. */
import { afterAll, beforeAll, expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import { openTestServe, type TestMachine, type TestServe } from "../support/control-server.ts";
import { type EndpointFault, startFaultyEndpoint } from "../support/faulty-endpoint.ts";
import { openRescueShell } from "../support/guest-shell.ts";
import { bootTimeoutMs, openKioskVm, type ReimageOptions } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { type MicroKiosk, makeMicroKiosk } from "../support/micro-kiosk.ts";
import { hostSeenFromGuest, networkArguments } from "../support/network-cards.ts";
import { identityOn } from "../support/shell-runs.ts";
import { knownOf } from "../support/told-run.ts";

const MiB = 1 << 20;
const runTimeoutMs = 300_000;
let made: TemporaryDirectory;
let micro: MicroKiosk;

beforeAll(async () => {
  made = await temporaryDirectory();
  await makeKiosk("tiny", "mbr");
  micro = await makeMicroKiosk(made.dir, "mbr");
}, bootTimeoutMs);
afterAll(() => made[Symbol.asyncDispose]());

/** A machine with a network card, whose firmware tells its UUID, and whose initramfs holds its token. */
function speakingMachine(url: string, { id, token }: Pick<TestMachine, "id" | "token">, append = ""): ReimageOptions {
  const { port } = new URL(url);
  return {
    append: `no_timer_check reimage.control.url=http://${hostSeenFromGuest}:${port} ${append}`,
    before: `echo ${token} >/etc/reimage/control.token`,
    memoryMiB: 512,
    extraArguments: [
      ...["-uuid", id],
      ...networkArguments([{ model: "e1000e", mac: "52:54:00:00:00:01", network: "user" }]),
    ],
  };
}

/** Asks for a reinstallation with an image that the endpoint knows under that name. */
async function request(serve: TestServe, machine: TestMachine, imageId: string): Promise<void> {
  await serve.must("PUT", `/images/${encodeURIComponent(imageId)}`, { id: imageId });
  await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId });
}

async function idOfMicroImage(): Promise<string> {
  const sum = await runTestCommand(["sha256sum", micro.image]);
  return `sha256:${sum.slice(0, 64)}`;
}

machineTest(
  "an endpoint that takes connections and never answers: the offline machine is reimaged all the same",
  async () => {
    await using endpoint = await startFaultyEndpoint(null, () => "silent");
    await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
    const nobody = { id: "8c1d7e90-6f0f-4ea7-b0a5-3d1b4d6d7a10", token: randomBytes(32).toString("base64url") };
    await using machine = await vm.startReimage(speakingMachine(endpoint.url, nobody));
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    expect(await identityOn(vm)).toBe("micro-0042\n");
    const left = await runTestCommand([
      "debugfs",
      "-R",
      "cat /kiosk/log/control-queue.ndjson",
      `${vm.exportDisk()}?offset=${MiB}`,
    ]);
    expect(left).toContain(`"machineId":"${nobody.id}"`);
    expect(left).toMatch(/"kind":"event".*"run-started"[\s\S]*"kind":"report".*"outcome":"success"/);
    expect(left + machine.serialText()).not.toContain(nobody.token);
  },
);

machineTest(
  "a whole run is decided by the endpoint, and told to it; killed in between, nothing is lost or doubled",
  async () => {
    await using serve = await openTestServe();
    const known = await serve.enrol();
    const imageId = await idOfMicroImage();
    await request(serve, known, imageId);
    await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
    const options = speakingMachine(serve.url, known, "reimage.control.decides=true");
    await using machine = await vm.startReimage({
      ...options,
      beside: `(until grep -q '"target":"partial"' /run/reimage/state.json; do sleep 0.1; done
kill -9 $(ps -o pid,args | awk '/[r]eimage init/ { print $1 }')) 2>/dev/null`,
    });
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    const root = `${vm.exportDisk()}?offset=${MiB}`;
    const read = (path: string) => runTestCommand(["debugfs", "-R", `cat ${path}`, root]);
    expect(await identityOn(vm)).toBe("micro-0042\n");

    const { machine: after, runs, run, events } = await knownOf(serve, known);
    expect(after).toMatchObject({ imageId, reinstall: null, configuration: "local" });
    expect(runs).toHaveLength(1);
    expect(run).toMatchObject({ outcome: "success", target: "complete", verdict: "verified", attempt: 1 });
    expect(after.bootInfo).toEqual(JSON.parse(await read("/etc/reimage/boot-info.json")));
    // What the new OS has of the events is a beginning of them: the last ones came when it was unmounted.
    const own = (await read("/kiosk/log/events.ndjson"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const isTold = (event: { type: string }) => event.type !== "progress";
    expect(events.filter(isTold).slice(0, own.filter(isTold).length)).toEqual(own.filter(isTold));
    expect(events.filter((event) => event.type === "run-started").map((event) => event.restarted)).toEqual([
      false,
      true,
    ]);
    // The endpoint's own answers come last, as details.
    expect(events.findLast(({ type }) => type !== "detail")).toMatchObject({ type: "run-finished" });
    expect(machine.serialText()).not.toContain(known.token);
  },
);

machineTest(
  "aborted before the first write, the machine comes back in the old OS, and the endpoint agrees",
  async () => {
    await using serve = await openTestServe();
    const known = await serve.enrol();
    await request(serve, known, "os-2");
    const wait: EndpointFault = { status: 200, body: { action: "wait", afterSeconds: 600, reason: "not yet" } };
    await using endpoint = await startFaultyEndpoint(serve.url, ({ what }) =>
      what === "instructions" ? wait : "pass",
    );
    await using vm = await openKioskVm("tiny", "mbr", "virtio");
    await using machine = await vm.startReimage({
      ...speakingMachine(endpoint.url, known, "reimage.control.decides=true"),
      beside: `(until grep -q 'says to wait' /run/reimage/events.ndjson; do sleep 0.1; done
PATH=/usr/bin reimage abort --reason 'the wrong machine' >/dev/ttyS0 2>&1) 2>/dev/null`,
    });
    await machine.waitForSerial(/the run is aborted before its first write/, runTimeoutMs);
    await machine.waitForSerial(/reimage: failed[^\n]*the wrong machine[^\n]*The disk is untouched/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs); // by itself, although onFailure is shell
    expect(vm.isUntouched()).toBe(true);

    const { machine: after, run } = await knownOf(serve, known);
    expect(after).toMatchObject({ reinstall: null, configuration: "local" });
    expect(run).toMatchObject({ outcome: "failed", target: "untouched" });
    const { reinstalls } = await serve.must<{ reinstalls: unknown[] }>("GET", `/machines/${known.id}/reinstalls`);
    expect(reinstalls).toMatchObject([
      { state: "aborted", target: "untouched", reason: expect.stringContaining("the wrong machine") },
    ]);

    await using booted = await vm.startFromDisk({ memoryMiB: 512 });
    await booted.waitForSerial(/tiny-0042 login:/, bootTimeoutMs);
  },
);

machineTest("it fails after the first write: the endpoint knows what was touched, and counts the attempt", async () => {
  await using serve = await openTestServe();
  const known = await serve.enrol();
  await request(serve, known, await idOfMicroImage());
  await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
  const eio = 5;
  await using machine = await vm.startReimage({
    ...speakingMachine(serve.url, known, "reimage.control.decides=true"),
    disks: [{ ...vm.disk, failing: { access: "write", atByte: 2 * MiB, errno: eio } }],
  });
  await machine.waitForSerial(/reimage: failed in stage write[^\n]*/, runTimeoutMs);
  const shell = await openRescueShell(machine, runTimeoutMs);
  const { machine: after, run } = await knownOf(serve, known);
  expect(run).toMatchObject({
    outcome: "failed",
    target: "partial",
    reason: expect.stringMatching(/EIO|input\/output/i),
  });
  expect(after).toMatchObject({ reinstall: { state: "waiting", attempt: 1 }, configuration: "reimage" });
  const { reinstalls } = await serve.must<{ reinstalls: unknown[] }>("GET", `/machines/${known.id}/reinstalls`);
  expect(reinstalls).toMatchObject([{ state: "waiting", target: "partial" }]);
  // What it would take back is not there any more.
  const abort = await shell.run("reimage abort 2>&1");
  expect(abort).toMatchObject({ status: 4, output: expect.stringContaining("retry") });
  expect((await knownOf(serve, known)).machine).toMatchObject({ reinstall: { state: "waiting", attempt: 1 } });
});
