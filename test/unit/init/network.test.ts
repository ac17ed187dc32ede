import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeLink, keepLooking, type NetworkNeed, networkNeed, startNetwork } from "../../../src/init/network.ts";
import { areInSameNetwork, isIpv4, parseMac, parsePrefixLength } from "../../../src/init/network-address.ts";
import { parseNetworkArguments } from "../../../src/init/network-arguments.ts";
import { parseLease } from "../../../src/init/network-dhcp.ts";
import { networkError } from "../../../src/init/network-error.ts";
import { chooseInterfaces, type NetworkInterface, readInterfaces } from "../../../src/init/network-interfaces.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

describe("addresses", () => {
  test("IPv4 in four decimal numbers", () => {
    expect(["0.0.0.0", "255.255.255.255", "10.0.2.15"].map(isIpv4)).toEqual([true, true, true]);
    expect(["10.0.2", "10.0.2.256", "10.0.2.015", "10.0.2.1.", " 10.0.2.1", "0x0a.0.0.1"].some(isIpv4)).toBe(false);
  });

  test("netmasks and prefix lengths", () => {
    const masks = ["255.255.255.0", "255.255.254.0", "255.255.255.255", "128.0.0.0", "24", "1", "32"];
    expect(masks.map(parsePrefixLength)).toEqual([24, 23, 32, 1, 24, 1, 32]);
    expect(["0.0.0.0", "255.0.255.0", "0", "33", "-1", "/24", "", "255.255.255"].map(parsePrefixLength)).toEqual(
      Array(8).fill(null),
    );
  });

  test("which addresses are in one network", () => {
    expect(areInSameNetwork("10.1.2.3", "10.1.2.254", 24)).toBe(true);
    expect(areInSameNetwork("10.1.2.3", "10.1.3.1", 24)).toBe(false);
    expect(areInSameNetwork("10.1.2.3", "10.1.3.1", 23)).toBe(true);
    expect(areInSameNetwork("200.1.2.3", "10.1.3.1", 1)).toBe(false);
  });

  test("MAC addresses", () => {
    expect(parseMac("52-54-00-AB-CD-EF")).toBe("52:54:00:ab:cd:ef");
    expect(["52:54:00:ab:cd", "52:54:00:ab:cd:eg", "525400abcdef", "52:54:00:ab:cd:ef:01"].map(parseMac)).toEqual(
      Array(4).fill(null),
    );
  });
});

describe("whether a run needs the network", () => {
  const image = { manifest: null, publicKey: "", publicKeyNamed: false } as Parameters<typeof networkNeed>[0]["image"];
  const need = (source: string, over: object = {}, commandLine = "quiet") =>
    networkNeed({ image: { ...image, source, ...over }, control: null, ...over }, commandLine);

  test("for an image or a manifest behind a URL it has to", () => {
    expect(need("https://images.example/os.img.zst")).toBe("required");
    expect(need("/os.img", { manifest: "http://images.example/os.json" })).toBe("required");
  });

  test("for the control endpoint, or because the operator says so, it would be good", () => {
    expect(need("/os.img", { control: { url: "http://control.example/", token: null } })).toBe("wanted");
    for (const asked of ["ip=dhcp", "vlan=vlan5:eth0", "rd.neednet=1"]) {
      expect(need("/os.img", {}, `quiet ${asked}`)).toBe("wanted");
    }
  });

  test("otherwise no card is touched", () => {
    for (const other of ["zip=dhcp", "rd.neednet=0", "rd.neednet=10", "xvlan=vlan5:eth0"]) {
      expect(need("LABEL=data:/os.img", {}, `quiet ${other}`)).toBe("none");
    }
  });
});

describe("an ip= that cannot be understood", () => {
  const start = (need: NetworkNeed) => {
    const told: string[] = [];
    const note = (message: string) => void told.push(message);
    return { told, network: startNetwork(need, "ip=dchp", 60, { onStep: note, onWarning: note, onDetail: note }) };
  };

  test("is refused where the network is needed", async () => {
    await using network = start("required").network;
    const error = await network.ready().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "config", message: expect.stringContaining("ip=dchp") });
    expect(await network.up()).toBe(false);
  });

  test("is told where it is not, and the run goes on", async () => {
    const { network, told } = start("wanted");
    await network.ready();
    expect(await network.up()).toBe(false); // it does not get better by looking further
    await network[Symbol.asyncDispose]();
    expect(told).toEqual([expect.stringMatching(/^the run goes on without the network: .*ip=dchp/)]);
  });
});

test("where nothing needs the network, it is never up, and nothing is said", async () => {
  const told: string[] = [];
  const note = (message: string) => void told.push(message);
  await using network = startNetwork("none", "ip=dchp", 60, { onStep: note, onWarning: note, onDetail: note });
  await network.ready();
  expect(await network.up()).toBe(false);
  expect(told).toEqual([]);
});

describe("looking further", () => {
  test("goes on after looks that fail, and ends with the first that does not", async () => {
    let looks = 0;
    const look = async () => {
      looks += 1;
      if (looks < 5) throw new Error("no carrier");
    };
    expect(await keepLooking(look, [0.001, 0.002], new AbortController().signal)).toBe(true);
    expect(looks).toBe(5);
  });

  test("ends in the middle of a pause once nobody wants it any more", async () => {
    const stop = new AbortController();
    const ended = keepLooking(async () => {}, [100_000], stop.signal);
    stop.abort();
    expect(await ended).toBe(false);
  });

  test("ends after a look that was broken off", async () => {
    const stop = new AbortController();
    const look = async () => {
      stop.abort();
      throw new Error("aborted");
    };
    expect(await keepLooking(look, [0], stop.signal)).toBe(false);
  });
});

const card = (
  name: string,
  hasCarrier: boolean | null,
  mac = `52:54:00:00:00:0${name.slice(-1)}`,
): NetworkInterface => ({
  name,
  mac,
  driver: "e1000e",
  hasCarrier,
});
const requests = (commandLine: string) => parseNetworkArguments(commandLine).requests;
const namesFor = (commandLine: string, interfaces: readonly NetworkInterface[]) =>
  requests(commandLine).map((request) => chooseInterfaces(request, interfaces).interfaces.map(({ name }) => name));

describe("which interfaces are meant", () => {
  const two = [card("eth0", true), card("eth1", true)];

  test("all of them for DHCP that names none", () => {
    expect(namesFor("", two)).toEqual([["eth0", "eth1"]]);
  });

  test("the named one, by its name or its MAC address", () => {
    expect(namesFor("ip=eth1:dhcp", two)).toEqual([["eth1"]]);
    expect(namesFor("ip=52-54-00-00-00-01:dhcp", two)).toEqual([["eth1"]]);
    expect(namesFor("ip=lan:dhcp ip=eth1:dhcp ifname=lan:52:54:00:00:00:00", two)).toEqual([["eth0"], ["eth1"]]);
  });

  test("an address that names none goes to the only one, and to none of several", () => {
    const address = "ip=10.1.2.3::10.1.2.1:24";
    expect(namesFor(address, two.slice(0, 1))).toEqual([["eth0"]]);
    expect(namesFor(address, two)).toEqual([[]]);
    expect(namesFor(`${address} BOOTIF=01-52-54-00-00-00-01`, two)).toEqual([["eth1"]]);
  });
});

describe("what is said where there is no network", () => {
  const say = (commandLine: string, interfaces: NetworkInterface[], failures: [string, string][] = []) => {
    const { code, message, hint } = networkError(requests(commandLine), interfaces, 60, new Map(failures));
    expect(code).toBe("network");
    return `${message} | ${hint}`;
  };

  test.each([
    ["", [], "there is no wired network interface | check that the machine has a wired network card;"],
    ["", [card("eth0", false)], "eth0 (52:54:00:00:00:00, e1000e) has no carrier | check the cable"],
    ["", [card("eth0", null)], "eth0 (52:54:00:00:00:00, e1000e) has no carrier | check the cable"],
    ["", [card("eth0", true)], "has a carrier, and no DHCP server answered | check the DHCP server"],
    ["ip=10.1.2.3:::24::eth0:none", [card("eth0", false)], "has no carrier | check the cable"],
    [
      "ip=enp3s0:dhcp",
      [card("eth0", null)],
      "there is no interface enp3s0; eth0 (52:54:00:00:00:00, e1000e) is there | name one of the interfaces above",
    ],
    ["BOOTIF=52:54:00:00:00:09", [card("eth0", null)], "there is no interface with the MAC address 52:54:00:00:00:09;"],
    [
      "ip=10.1.2.3:::24",
      [card("eth0", true), card("eth1", true)],
      "ip=10.1.2.3:::24 names no interface, and there are several; eth0",
    ],
  ])("%s with %j", (commandLine, interfaces, words) => {
    expect(say(commandLine, interfaces)).toStartWith("no network within 60 s: ");
    expect(say(commandLine, interfaces)).toContain(words);
  });

  test("a VLAN and the card that it is on, each for itself", () => {
    const both = "ip=eth0:dhcp vlan=eth0.5:eth0 ip=10.1.2.3:::24::eth0.5:none";
    expect(say(both, [card("eth0", true)], [["eth0.5", "no such device"]])).toContain(
      ": eth0 (52:54:00:00:00:00, e1000e) has a carrier, and no DHCP server answered; eth0.5 (VLAN 5 on eth0, 52:54:00:00:00:00, e1000e) failed: no such device |",
    );
    expect(say("vlan=vlan5:eth1", [card("eth0", true)])).toContain(
      "there is no interface eth1; eth0 (52:54:00:00:00:00, e1000e) is there |",
    );
  });

  test("what failed on an interface is told", () => {
    const words = say("", [card("eth0", null)], [["eth0", "ip link set eth0 up ended with status 2"]]);
    expect(words).toContain("eth0 (52:54:00:00:00:00, e1000e) failed: ip link set eth0 up ended with status 2");
  });
});

test("interfaces are read from sysfs: those with hardware, wired, by number", async () => {
  await using folder = await temporaryDirectory();
  const put = (name: string, files: Record<string, string>, folders: readonly string[]) => {
    for (const each of folders) mkdirSync(join(folder.dir, name, each), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder.dir, name, file), `${text}\n`);
  };
  put("eth10", { type: "1", address: "52:54:00:00:00:0a", carrier: "0" }, ["device"]);
  put("eth2", { type: "1", address: "52:54:00:00:00:02" }, ["device"]); // down: its carrier cannot be read
  put("wlan0", { type: "1", address: "52:54:00:00:00:03", carrier: "1" }, ["device", "phy80211"]);
  put("lo", { type: "772", address: "00:00:00:00:00:00", carrier: "1" }, ["queues"]);
  put("dummy0", { type: "1", address: "52:54:00:00:00:04", carrier: "1" }, ["queues"]);
  symlinkSync("../../../../bus/pci/drivers/igc", join(folder.dir, "eth10/device/driver"));
  writeFileSync(join(folder.dir, "bonding_masters"), ""); // a file among the interfaces
  expect(readInterfaces(folder.dir)).toEqual([
    { name: "eth2", mac: "52:54:00:00:00:02", driver: null, hasCarrier: null },
    { name: "eth10", mac: "52:54:00:00:00:0a", driver: "igc", hasCarrier: false },
  ]);
});

test("a lease is read as it was written", () => {
  const text =
    "address=10.0.2.15\nprefix=24\ngateway=10.0.2.2\nnameservers=10.0.2.3 10.0.2.4\nserver=10.0.2.2\nseconds=86400\n";
  const lease = parseLease(text);
  expect(lease).toEqual({
    address: "10.0.2.15",
    prefixLength: 24,
    gateway: "10.0.2.2",
    nameservers: ["10.0.2.3", "10.0.2.4"],
    server: "10.0.2.2",
    leaseSeconds: 86400,
  });
  const bare = parseLease("address=10.0.2.15\nprefix=24\ngateway=\nnameservers=\nserver=10.0.2.2\nseconds=60\n");
  expect(bare).toMatchObject({ gateway: null, nameservers: [] });
  expect(describeLink({ ...bare, name: "eth0", description: "eth0 (m, d)", by: "DHCP from 10.0.2.2" })).toBe(
    "eth0 (m, d) has 10.0.2.15/24 by DHCP from 10.0.2.2, no gateway, no name server",
  );
});

test("what udhcpc runs is a shell script without a mistake in its syntax", () => {
  const result = Bun.spawnSync(["sh", "-n", join(import.meta.dir, "../../../initramfs/dhcp-event")]);
  expect(result.stderr.toString()).toBe("");
  expect(result.exitCode).toBe(0);
});
