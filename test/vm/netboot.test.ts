/** A real iPXE, from its first question to the kernel or the disk. */
import { expect } from "bun:test";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { openTestServe } from "../support/control-server.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { diskSays, installerSays, makeSmallInitramfs, startNetbootMachine } from "../support/netboot-machine.ts";
import { hostSeenFromGuest } from "../support/network-cards.ts";

const bootTimeoutMs = 300_000;
const mac = "52:54:00:00:00:77";
const machine = { id: "00000000-0000-0000-0000-0000000000b1", name: "kiosk-7", macs: [mac] };

machineTest(
  "iPXE: unknown, one boot of an installer and then the disk, a reinstallation that nobody ends, a server that fails",
  async () => {
    await using directory = await temporaryDirectory();
    const initrd = await makeSmallInitramfs(directory.dir);
    let failures = 0;
    await using files = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/flaky" && failures++ === 0) return new Response("not now", { status: 404 });
        return new Response(Bun.file(pathname === "/initrd.img" ? initrd : "build/vmlinuz"));
      },
    });
    let nowMs = Date.now();
    const facades = { names: ["ipxe" as const], clients: [parseAddressRange("127.0.0.1")] };
    await using serve = await openTestServe({ facades, now: () => nowMs });
    const url = `http://${hostSeenFromGuest}:${files.port}`;
    const configure = async (name: string, kernel: string) => {
      const cmdline = `console=ttyS0 quiet no_timer_check who=${name}`;
      const body = { name, kind: "linux", kernel: `${url}/${kernel}`, initrd: [`${url}/initrd.img`], cmdline };
      await serve.must("PUT", `/boot-configurations/${name}`, body);
    };
    await configure("installer", "vmlinuz");
    await configure("reimage", "vmlinuz");
    await configure("flaky", "flaky");

    await using vm = await startNetbootMachine(directory.dir, mac, `${serve.url}/boot.ipxe`);
    const says = (pattern: RegExp) => vm.waitForSerial(pattern, bootTimeoutMs);
    const reset = async () => {
      nowMs += 3_600_000;
      await vm.qmp("system_reset");
    };
    const installed = async () => {
      const [, cmdline = ""] = await says(new RegExp(`${installerSays} ([^\r\n]*)[\r\n]`));
      nowMs += 3_600_000; // it reboots
      return cmdline;
    };

    await says(new RegExp(`this machine \\(${mac.replaceAll(":", "[:-]")}\\) is not known here`));
    await says(new RegExp(diskSays));

    await serve.must("POST", "/machines", machine);
    await serve.must("POST", "/boot-configurations/installer/deploy", { machines: ["kiosk-7"], boots: 1 });
    await reset();
    const cmdline = await installed();
    expect(cmdline).toContain("who=installer");
    expect(cmdline).not.toContain("reimage.");
    await says(new RegExp(diskSays)); // its own reboot

    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2", mostAttempts: 2 });
    await reset();
    for (const _attempt of [1, 2]) {
      const asking = await installed();
      expect(asking).toContain("who=reimage reimage.control.decides=true");
      expect(asking).not.toMatch(/token|reimage-/);
    }
    await says(new RegExp(diskSays));
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ reinstall: { state: "parked" } });

    await serve.must("POST", "/boot-configurations/flaky/deploy", { machines: ["kiosk-7"], boots: 1 });
    await reset();
    await says(/flaky could not be loaded/);
    await says(/trying again/);
    expect(await installed()).toContain("who=flaky");
    await says(new RegExp(diskSays));
    const { entries } = await serve.must<{ entries: { action: string; detail: { configuration?: string } }[] }>(
      "GET",
      "/audit?limit=100",
    );
    const boots = entries.filter(({ action }) => action === "netboot").map(({ detail }) => detail.configuration);
    expect(boots.toReversed()).toEqual(["installer", "local", "reimage", "reimage", "local", "flaky", "local"]);
  },
);

machineTest(
  "Luna's menu: nobody presses a key, it asks until an operator has named the machine, and starts from the disk",
  async () => {
    await using directory = await temporaryDirectory();
    const facades = { names: ["luna" as const], clients: [parseAddressRange("127.0.0.1")] };
    await using serve = await openTestServe({ facades });
    await using vm = await startNetbootMachine(directory.dir, mac, `${serve.url}/luna?step=boot`);
    await vm.waitForSerial(/Ask the server what to boot/, bootTimeoutMs);
    await vm.waitForSerial(/Cannot get answer/, bootTimeoutMs);
    await serve.must("POST", "/machines", machine);
    await vm.waitForSerial(new RegExp(diskSays), bootTimeoutMs);
  },
);
