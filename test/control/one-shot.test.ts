/**
 * The install loop cannot happen: what is deployed for so many network boots is booted so often, then the disk, although the
 * machine never calls back. By every way in which a machine gets to know what to boot, on both databases.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { SERVE } from "../../src/control/server/operations/actor.ts";
import { projectBoots, takeProjectedBoot } from "../../src/control/server/operations/projected-boot.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase, oldOs, type TestServe } from "../support/control-server.ts";
import { startKillableServe } from "../support/killable-serve.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { configurationText, makeTftpRoot, until } from "../support/pxelinux.ts";
import { startTftpServer } from "../support/tftp-server.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const names = ["ipxe", "luna", "pxe-pilot"] as const;
const facades = { names, clients: [parseAddressRange("127.0.0.1")] };
const machine = { id: "00000000-0000-0000-0000-0000000000a1", name: "h1", macs: ["23:34:a3:e9:09:cc"] };
const links = machine.macs.map((mac) => `pxelinux.cfg/01-${mac.replaceAll(":", "-")}`);
const [link = ""] = links;
const installer = {
  name: "ubuntu-16.04",
  kind: "linux",
  kernel: "http://boot/linux",
  initrd: ["http://boot/initrd.gz"],
};
const DISK = "sanboot --no-describe --drive 0x80";

const ask = async (url: string, path: string) => await (await fetch(url + path)).text();
/** How a machine asks that boots from the network. */
const ways = {
  ipxe: (url: string) => ask(url, "/boot/23-34-a3-e9-09-cc.ipxe"),
  luna: (url: string) => ask(url, "/luna?step=discovery&hwdata=KIOSK|23:34:a3:e9:09:cc|"),
};

async function deployInstaller(serve: TestServe, boots: number): Promise<void> {
  await serve.must("POST", "/machines", machine);
  await serve.must("PUT", `/boot-configurations/${installer.name}`, installer);
  await serve.must("POST", `/boot-configurations/${installer.name}/deploy`, { machines: ["h1"], boots });
}

const what = (script: string) =>
  script.includes("kernel http://boot/linux") ? "installer" : script.includes(DISK) ? "disk" : script;

eachDatabase("one-shot", (open) => {
  test.each(Object.keys(ways) as (keyof typeof ways)[])(
    "by %s: two boots, then the disk, also over restarts",
    async (way) => {
      await using directory = await temporaryDirectory();
      let nowMs = Date.now();
      const options = { facades, dataDir: directory.dir, now: () => nowMs };
      let databaseUrl: string | null;
      const boot = async (serve: TestServe) => {
        nowMs += 60_000;
        const answers = [];
        // Firmware and boot loaders ask more than once for one boot.
        for (let asked = 0; asked < 3; asked += 1) answers.push(what(await ways[way](serve.url)));
        return answers;
      };
      {
        await using serve = await open(options);
        ({ databaseUrl } = serve);
        await deployInstaller(serve, 2);
        expect(await boot(serve)).toEqual(["installer", "installer", "installer"]);
      }
      {
        await using serve = await open({ ...options, databaseUrl });
        expect(what(await ways[way](serve.url))).toBe("installer"); // the same boot, after a restart of serve
        expect(await boot(serve)).toEqual(["installer", "installer", "installer"]);
      }
      await using serve = await open({ ...options, databaseUrl });
      for (let boots = 0; boots < 3; boots += 1) expect(await boot(serve)).toEqual(["disk", "disk", "disk"]);
      expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ configuration: "local" });
    },
  );

  test.each(Object.keys(ways) as (keyof typeof ways)[])(
    "by %s: what was answered is counted, although serve is killed at once",
    async (way) => {
      await using directory = await temporaryDirectory();
      let databaseUrl: string | null;
      {
        await using serve = await open({ dataDir: directory.dir });
        ({ databaseUrl } = serve);
        await deployInstaller(serve, 1);
      }
      const answers = [];
      for (const clockAheadMs of [0, 60_000, 120_000]) {
        await using serve = await startKillableServe({ dataDir: directory.dir, databaseUrl, clockAheadMs });
        answers.push(what(await ways[way](serve.url)));
        await serve.kill();
      }
      expect(answers).toEqual(["installer", "disk", "disk"]);
    },
  );

  test("by pxelinux.cfg and a TFTP server: one boot, then local", async () => {
    await using tftp = await makeTftpRoot(["local", "ubuntu-16.04"]);
    await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
    const pxelinux = { root: tftp.root, configurationsDir: tftp.configurationsDir, retryWindowMs: 0 };
    await using serve = await open({ facades, pxelinux });
    await serve.must("POST", "/machines", machine);
    const body = JSON.stringify({ hosts: [{ macAddress: machine.macs[0] }], boots: 1 });
    const deployed = await fetch(`${serve.url}/configurations/ubuntu-16.04/deploy`, { method: "PUT", body });
    expect(deployed.status).toBe(200);
    expect(await server.get(link)).toBe(configurationText("ubuntu-16.04")); // when it is answered, the link is there
    await until(async () => (await tftp.listing())["01-23-34-a3-e9-09-cc"] === "conf/local");
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ configuration: "local" });
    for (let boots = 0; boots < 2; boots += 1) expect(await server.get(link)).toBe(configurationText("local"));
    // The same again is another deployment, and is booted again; its second boot while the first is hardly over.
    const again = { machines: ["h1"], boots: 2 };
    await serve.must("POST", "/boot-configurations/ubuntu-16.04/deploy", again);
    for (const left of [2, 1]) {
      await until(async () => (await tftp.listing())["01-23-34-a3-e9-09-cc"]?.includes(`-${left}@ubuntu`) === true);
      expect(await server.get(link)).toBe(configurationText("ubuntu-16.04"));
    }
    await until(async () => (await tftp.listing())["01-23-34-a3-e9-09-cc"] === "conf/local");
    expect(serve.log.filter((line) => line.includes("pxelinux"))).toEqual([]);
  });

  test("by pxelinux.cfg: it boots while serve is killed, and the next start counts it", async () => {
    await using tftp = await makeTftpRoot(["local", "ubuntu-16.04"]);
    await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
    await using directory = await temporaryDirectory();
    const pxelinux = { root: tftp.root, configurationsDir: tftp.configurationsDir, retryWindowMs: 0 };
    let databaseUrl: string | null;
    {
      await using serve = await open({ dataDir: join(directory.dir, "data"), pxelinux });
      ({ databaseUrl } = serve);
      await serve.must("POST", "/machines", machine);
    }
    const options = { dataDir: join(directory.dir, "data"), databaseUrl, pxelinux };
    {
      await using killed = await startKillableServe(options);
      const body = JSON.stringify({ hosts: [{ name: "h1" }], boots: 1 });
      await fetch(`${killed.url}/configurations/ubuntu-16.04/deploy`, { method: "PUT", body });
      await killed.kill();
    }
    expect(await server.get(link)).toBe(configurationText("ubuntu-16.04"));
    await using serve = await open(options);
    await until(async () => (await tftp.listing())["01-23-34-a3-e9-09-cc"] === "conf/local");
    expect(await server.get(link)).toBe(configurationText("local"));
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ configuration: "local" });
  });

  test("a boot that was read counts once, quickly after another too, and not for what was deployed since", async () => {
    await using serve = await open({});
    const { store } = serve.serve.endpoint;
    const boots = async () => (await projectBoots(store, [machine.id]))[0]?.boot;
    const take = (bootId: string) => takeProjectedBoot(store, SERVE, machine.macs[0] ?? "", bootId);
    await deployInstaller(serve, 3);
    const first = (await boots())?.bootId ?? "";
    for (let times = 0; times < 2; times += 1) expect(await take(first)).toBe(machine.id);
    const second = await boots();
    expect(second?.bootId).toEndWith("-2");
    const again = { machines: ["h1"], boots: 2 };
    await serve.must("POST", `/boot-configurations/${installer.name}/deploy`, again);
    await take(second?.bootId ?? ""); // a read of what was deployed before
    const third = await boots();
    expect(third?.bootId).toEndWith("-2");
    expect(third?.bootId).not.toBe(second?.bootId);
    for (const left of ["-2", "-1"]) {
      const boot = await boots();
      expect(boot?.configuration).toBe(installer.name);
      expect(boot?.bootId).toEndWith(left);
      await take(boot?.bootId ?? "");
    }
    expect(await boots()).toMatchObject({ configuration: "local", bootId: null });
    expect(await takeProjectedBoot(store, SERVE, "02:00:00:00:00:01", first)).toBeNull();
  });

  test("the boot that a machine gets after it has called is another one than that which it has read", async () => {
    await using serve = await open({});
    const { store } = serve.serve.endpoint;
    const caller = await serve.enrol();
    const boot = async () => (await projectBoots(store, [caller.id]))[0]?.boot;
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("POST", `/machines/${caller.id}/reinstalls`, { imageId: "os-2", mostAttempts: 1 });
    const first = await boot();
    await takeProjectedBoot(store, SERVE, caller.mac, first?.bootId ?? "");
    const ask = { runId: crypto.randomUUID(), bootInfo: oldOs, isDiskNamed: false };
    expect((await caller.post("instructions", ask)).body).toMatchObject({ action: "reinstall" });
    const second = await boot();
    expect(second).toMatchObject({ configuration: "reimage", isReinstall: true });
    expect(second?.bootId).toEndWith("-1");
    expect(second?.bootId).not.toBe(first?.bootId);
  });
});
