/** The network of the initramfs: what the kernel command line asks for, on cards that QEMU emulates. */
import { afterAll, beforeAll, expect } from "bun:test";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import { readFrames } from "../support/captured-frames.ts";
import { openRescueShell } from "../support/guest-shell.ts";
import { bootTimeoutMs, openKioskVm } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { type MicroKiosk, makeMicroKiosk } from "../support/micro-kiosk.ts";
import { cardName, hostSeenFromGuest, networkArguments } from "../support/network-cards.ts";
import { peerAnswer, peerInVlan5, peerInVlan7, vlanPeer } from "../support/vlan-peer.ts";

const MiB = 1024 * 1024;
const runTimeoutMs = 300_000;
const [firstMac, secondMac] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];
/** The kernel looks whether the timer ticks, and on a busy host gives up too early. */
const patient = "no_timer_check";

let made: TemporaryDirectory;
let micro: MicroKiosk;
let server: Bun.Server<undefined>;

beforeAll(async () => {
  made = await temporaryDirectory();
  await makeKiosk("tiny", "mbr");
  micro = await makeMicroKiosk(made.dir, "mbr");
  server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("from the server\n") });
}, bootTimeoutMs);
afterAll(async () => {
  await server.stop(true);
  await made[Symbol.asyncDispose]();
});

const url = (host: string) => `http://${host}:${server.port}/os.img.bz2`;
const openMicro = () => openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);

machineTest(
  "for an image behind a URL, the card on which a DHCP server answers counts; its lease is renewed",
  async () => {
    await using vm = await openMicro();
    await using machine = await vm.startReimage({
      append: `${patient} reimage.image.source=${url(hostSeenFromGuest)} nameserver=10.0.2.9`,
      memoryMiB: 512,
      extraArguments: networkArguments([
        { model: "e1000", mac: firstMac, network: "silent" },
        { model: "virtio-net-pci", mac: secondMac, network: "user" },
      ]),
    });
    const [, name, said] = await machine.waitForSerial(
      /network: (eth[01]) ([^\n]* by DHCP [^\r\n]*)\r?\n/,
      runTimeoutMs,
    );
    const link = "has 10.0.2.15/24 by DHCP from 10.0.2.2, gateway 10.0.2.2, name server 10.0.2.9, 10.0.2.3";
    expect(said).toBe(`(${secondMac}, virtio_net) ${link}`);
    const shell = await openRescueShell(machine, runTimeoutMs);
    expect(await shell.must("cat /etc/resolv.conf")).toBe("nameserver 10.0.2.9\nnameserver 10.0.2.3\n");
    expect(await shell.must("ps -o args | grep -c '[u]dhcpc'")).toBe("1\n"); // the other card's is gone
    // As at half of the lease's time; the file is written anew.
    const renewed = await shell.must(`cd /run/reimage/network && old=$(stat -c %i ${name}.lease)
kill -USR1 $(cat ${name}.pid)
until new=$(stat -c %i ${name}.lease) && [ "$new" != "$old" ]; do sleep 0.1; done
ip addr show ${name} | grep -c 10.0.2.15/24`);
    expect(renewed).toBe("1\n");
  },
);

machineTest("an address that ip= gives is set on the card with that MAC address, and nobody is asked", async () => {
  await using vm = await openMicro();
  const source = url(hostSeenFromGuest);
  await using machine = await vm.startReimage({
    append: `${patient} reimage.image.source=${source} ip=10.0.2.77::10.0.2.2:255.255.255.0::${secondMac}:none:10.0.2.3`,
    memoryMiB: 512,
    extraArguments: networkArguments([
      { model: "e1000e", mac: firstMac, network: "silent" },
      { model: "e1000", mac: secondMac, network: "user" },
    ]),
  });
  const [, name] = await machine.waitForSerial(
    /network: (eth\d) \(52:54:00:00:00:02, e1000\) has 10\.0\.2\.77\/24 by ip=/,
    runTimeoutMs,
  );
  const shell = await openRescueShell(machine, runTimeoutMs);
  expect(await shell.must(`wget -q -O - ${source}`)).toBe("from the server\n");
  expect(await shell.must("cat /etc/resolv.conf; pidof udhcpc || echo none")).toBe("nameserver 10.0.2.3\nnone\n");
  // A technician has changed his mind.
  await shell.must(`udhcpc -f -q -n -i ${name}`);
  expect(await shell.must(`ip addr show ${name}`)).toMatch(/inet 10\.0\.2\.15\/24/);
});

machineTest("no carrier and no DHCP server: refused after waitSeconds, with what each card lacks", async () => {
  await using vm = await openMicro();
  await using machine = await vm.startReimage({
    append: `${patient} reimage.image.source=${url(hostSeenFromGuest)} reimage.waitSeconds=6 reimage.onFailure=poweroff`,
    memoryMiB: 512,
    extraArguments: networkArguments([
      { model: "e1000", mac: firstMac, network: "silent" },
      { model: "virtio-net-pci", mac: secondMac, network: "user" },
    ]),
  });
  await machine.qmp("set_link", { name: cardName(1), up: false });
  const [told] = await machine.waitForSerial(/reimage: failed[^\n]*\n/, runTimeoutMs);
  expect(told).toMatch(/^reimage: failed: no network within 6 s: eth\d .*; eth\d .*\. The disk is untouched: /);
  expect(told).toContain(`(${firstMac}, e1000) has a carrier, and no DHCP server answered`);
  expect(told).toContain(`(${secondMac}, virtio_net) has no carrier`);
  expect(told).toContain("What to do: check the DHCP server and the VLAN of the port, or give an address");
  await machine.waitForExit(bootTimeoutMs);
  expect(vm.isUntouched()).toBe(true);
});

machineTest("an offline run with a control endpoint does not wait for the network", async () => {
  await using vm = await openMicro();
  await using machine = await vm.startReimage({
    // Were it waited for, nothing would happen before the test gives up.
    append: `${patient} reimage.control.url=http://10.0.2.2:1/ reimage.waitSeconds=100000`,
    memoryMiB: 512,
    extraArguments: networkArguments([{ model: "virtio-net-pci", mac: firstMac, network: "silent" }]),
  });
  await machine.waitForSerial(/reimage: success/, runTimeoutMs);
  await machine.waitForExit(bootTimeoutMs);
});

machineTest(
  "two VLANs on one card, by DHCP and with an address: what leaves the card is tagged, all of it",
  async () => {
    await using vm = await openMicro();
    const capture = `${vm.folder}/frames.pcap`;
    const source = `http://${peerInVlan7.address}/os.img.bz2`;
    const vlans = "vlan=vlan0005:lan ip=vlan0005:dhcp vlan=lan.7:lan ip=10.7.0.2:::24::lan.7:none";
    await using machine = await vm.startReimage({
      append: `${patient} reimage.image.source=${source} ifname=lan:${firstMac} ${vlans}`,
      beside: vlanPeer(secondMac),
      memoryMiB: 512,
      extraArguments: networkArguments([
        { model: "e1000e", mac: firstMac, network: "joined", capture },
        { model: "virtio-net-pci", mac: secondMac, network: "joined" },
      ]),
    });
    const [, card, granted] = await machine.waitForSerial(
      /network: vlan0005 \(VLAN 5 on (eth\d), 52:54:00:00:00:01, e1000e\) has ([^\r\n]*)\r?\n/,
      runTimeoutMs,
    );
    const { address, grants, nameserver } = peerInVlan5;
    expect(granted).toBe(`${grants}/24 by DHCP from ${address}, gateway ${address}, name server ${nameserver}`);
    const [, given] = await machine.waitForSerial(
      /network: lan\.7 \(VLAN 7 on eth\d, [^)]*\) has ([^\r\n]*)\r?\n/,
      runTimeoutMs,
    );
    expect(given).toStartWith("10.7.0.2/24 by ip=10.7.0.2:::24::lan.7:none, no gateway, ");
    const shell = await openRescueShell(machine, runTimeoutMs); // the answer is no image
    for (const host of [peerInVlan5.address, peerInVlan7.address]) {
      expect(await shell.must(`wget -q -O - http://${host}/os.img.bz2`)).toBe(peerAnswer);
    }
    expect(await shell.must(`ip addr show ${card} | grep -c 'inet ' || true`)).toBe("0\n"); // the card itself has no address

    const frames = readFrames(capture);
    const sent = frames.filter((frame) => frame.source === firstMac && frame.kind !== "other"); // IPv6 of the kernel's own accord
    const seen = new Set(sent.map(({ vlanId, kind }) => `${kind} in ${vlanId}`));
    expect([...seen].sort()).toEqual(["arp in 5", "arp in 7", "dhcp in 5", "ipv4 in 5", "ipv4 in 7"]);
    const answers = new Set(
      frames.filter(({ source }) => source === secondMac).map(({ vlanId, kind }) => `${kind} in ${vlanId}`),
    );
    expect(answers).toContain("dhcp in 5");
    expect(answers).toContain("ipv4 in 7");
  },
);

machineTest(
  "a cable that is plugged in late: the run goes on, says so once, and has the network from then on",
  async () => {
    await using vm = await openMicro();
    // The image is not decoded before the network is up: the run lasts that long, and cannot succeed without.
    const decodeOnceUp = `mv /usr/bin/lbzip2 /usr/bin/lbzip2-itself
cat >/usr/bin/lbzip2 <<'END'
#!/bin/sh
until grep -q 'has 10.0.2.15/24 by DHCP' /run/reimage/reimage.log; do sleep 0.2; done
exec lbzip2-itself "$@"
END
chmod +x /usr/bin/lbzip2`;
    await using machine = await vm.startReimage({
      append: `${patient} reimage.control.url=http://10.0.2.2:1/ reimage.waitSeconds=8`,
      before: decodeOnceUp,
      memoryMiB: 512,
      extraArguments: networkArguments([{ model: "e1000", mac: firstMac, network: "user" }]),
    });
    await machine.qmp("set_link", { name: cardName(0), up: false });
    const [told] = await machine.waitForSerial(/the run goes on without the network[^\n]*\n/, runTimeoutMs);
    expect(told).toContain(`(${firstMac}, e1000) has no carrier`);
    await machine.qmp("set_link", { name: cardName(0), up: true });
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    const log = await runTestCommand([
      "debugfs",
      "-R",
      "cat /kiosk/log/reimage.log",
      `${vm.exportDisk()}?offset=${MiB}`,
    ]);
    expect(log.match(/goes on without the network/g)).toHaveLength(1);
    expect(log.match(/network: eth0 .* has 10\.0\.2\.15\/24 by DHCP/g)).toHaveLength(1);
  },
);
