/** A whole reimage from a web server, in a virtual machine: DHCP, a name, a signed image, connections that break. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { runCli } from "../support/cli.ts";
import { guestNameServer } from "../support/guest-name-server.ts";
import { type Fault, HttpServer } from "../support/http-server.ts";
import { bootTimeoutMs, openKioskVm } from "../support/kiosk-vm.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { makeMicroKiosk, microIdentity } from "../support/micro-kiosk.ts";
import { hostSeenFromGuest, networkArguments } from "../support/network-cards.ts";

const runTimeoutMs = 300_000;
const MiB = 1024 * 1024;
const killOnceItWrites = `(until grep -q '"target":"partial"' /run/reimage/state.json; do sleep 0.1; done
kill -9 $(ps -o pid,args | awk '/[r]eimage init/ { print $1 }')) 2>/dev/null &`;

machineTest(
  "a signed image is streamed from a web server whose connections break; the program is killed, and carries on",
  async () => {
    await using made = await temporaryDirectory();
    const at = (name: string) => `${made.dir}/${name}`;
    const micro = await makeMicroKiosk(made.dir, "mbr");
    const keys = ["--secret-key", at("own.key"), "--public-key", at("own.pub")];
    expect(await runCli(["pack", "--keygen", ...keys])).toMatchObject({ exitCode: 0 });
    const signing = ["--secret-key", at("own.key"), "--image-version", "1"];
    expect(await runCli(["pack", micro.image, "--level", "1", ...signing])).toMatchObject({ exitCode: 0 });
    // The first answer that reaches that far breaks off, and the next one falls silent: there the program is killed.
    const faults: Fault[] = [{ onlyBytes: 400_000 }, { onlyBytes: 100_000, ending: "stall" }];
    await using server = await HttpServer.start(made.dir, ({ path, method, range }) => {
      const isWhole = (range?.endBytes ?? Number.POSITIVE_INFINITY) - (range?.startBytes ?? 0) > 400_000;
      return method === "GET" && path === "/new.img.zst" && isWhole ? (faults.shift() ?? null) : null;
    });
    const { port } = new URL(server.url("/"));
    await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
    await using machine = await vm.startReimage({
      append: `no_timer_check reimage.image.source=http://images.example:${port}/new.img.zst nameserver=127.0.0.1`,
      before: `echo '${readFileSync(at("own.pub"), "latin1")}' >/etc/reimage/image.pub`,
      beside: `${killOnceItWrites}\n${guestNameServer("images.example", hostSeenFromGuest)}`,
      memoryMiB: 640,
      extraArguments: networkArguments([{ model: "e1000e", mac: "52:54:00:00:00:01", network: "user" }]),
    });
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    expect(faults).toEqual([]);
    const root = `${vm.exportDisk()}?offset=${MiB}`;
    expect(await runTestCommand(["debugfs", "-R", "cat /var/lib/kiosk/identity", root])).toBe(microIdentity);
    const log = await runTestCommand(["debugfs", "-R", "cat /kiosk/log/reimage.log", root]);
    expect(log).toContain("start 2,"); // killed once
    expect(log.match(/has 10\.0\.2\.15\/24 by DHCP/g)).toHaveLength(2);
    expect(log.match(/is switched on/g)).toHaveLength(1); // the lease outlived the program
  },
);
