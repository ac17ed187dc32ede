import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { type LinkRequest, parseNetworkArguments } from "../../../src/init/network-arguments.ts";

const mac = "52:54:00:12:34:56";

const dhcp = (argument: string | null, name: string | null, mtuBytes: number | null = null): LinkRequest => ({
  argument,
  interface: name,
  vlan: null,
  method: { kind: "dhcp" },
  mtuBytes,
});

function fixed(argument: string, name: string | null, over: object = {}): unknown {
  const method = { kind: "static", address: "10.1.2.3", prefixLength: 24, peer: null, gateway: "10.1.2.1", ...over };
  return { argument, interface: name, vlan: null, method, mtuBytes: null };
}

describe("forms of ip=", () => {
  test.each([
    ["ip=dhcp", dhcp("ip=dhcp", null)],
    ["ip=on", dhcp("ip=on", null)],
    ["ip=any", dhcp("ip=any", null)],
    ["ip=eth0:dhcp", dhcp("ip=eth0:dhcp", "eth0")],
    ["ip=eth1:on:1400", dhcp("ip=eth1:on:1400", "eth1", 1400)],
    ["ip=eth1:any:", dhcp("ip=eth1:any:", "eth1")],
    ["ip=52-54-00-12-34-56:dhcp", dhcp("ip=52-54-00-12-34-56:dhcp", mac)],
    [`ip=${mac.toUpperCase()}:dhcp`, dhcp(`ip=${mac.toUpperCase()}:dhcp`, mac)],
    ["ip=::::kiosk7:eth0:dhcp", dhcp("ip=::::kiosk7:eth0:dhcp", "eth0")],
    ["ip=:::::eth0:", dhcp("ip=:::::eth0:", "eth0")],
    ["ip=::::::dhcp:1300", dhcp("ip=::::::dhcp:1300", null, 1300)],
    ["ip=10.1.2.3::10.1.2.1:255.255.255.0::eth0:none", fixed("ip=10.1.2.3::10.1.2.1:255.255.255.0::eth0:none", "eth0")],
    ["ip=10.1.2.3::10.1.2.1:24:kiosk7:eth0:off", fixed("ip=10.1.2.3::10.1.2.1:24:kiosk7:eth0:off", "eth0")],
    ["ip=10.1.2.3:::24::eth0:none", fixed("ip=10.1.2.3:::24::eth0:none", "eth0", { gateway: null })],
    [`ip=10.1.2.3::10.1.2.1:24::${mac}:none`, fixed(`ip=10.1.2.3::10.1.2.1:24::${mac}:none`, mac)],
    // As pxelinux writes it: the boot server stands where the peer does, and counts for nothing.
    ["ip=10.1.2.3:10.1.2.9:10.1.2.1:255.255.255.0", fixed("ip=10.1.2.3:10.1.2.9:10.1.2.1:255.255.255.0", null)],
    [
      "ip=10.1.2.3:192.0.2.1:192.0.2.1:32::eth0:none",
      fixed("ip=10.1.2.3:192.0.2.1:192.0.2.1:32::eth0:none", "eth0", {
        prefixLength: 32,
        peer: "192.0.2.1",
        gateway: "192.0.2.1",
      }),
    ],
  ])("%s", (argument, request) => {
    const parsed = parseNetworkArguments(`quiet ${argument} console=ttyS0\n`);
    expect(parsed as unknown).toEqual({ requests: [request], nameservers: [] });
  });

  test("the field after the method is a name server or an MTU", () => {
    const argument = (rest: string) => `ip=10.1.2.3::10.1.2.1:24::eth0:none${rest}`;
    expect(parseNetworkArguments(argument(":10.1.2.8:10.1.2.9")).nameservers).toEqual(["10.1.2.8", "10.1.2.9"]);
    expect(parseNetworkArguments(argument("::10.1.2.9")).nameservers).toEqual(["10.1.2.9"]);
    expect(parseNetworkArguments(argument(":9000"))).toMatchObject({ requests: [{ mtuBytes: 9000 }], nameservers: [] });
  });
});

describe("the rest of the command line", () => {
  test("without ip= it is DHCP on any interface", () => {
    const parsed = parseNetworkArguments("BOOT_IMAGE=/vmlinuz quiet gossip=dhcp reimage.log='' ipv6.disable=1");
    expect(parsed).toEqual({ requests: [dhcp(null, null)], nameservers: [] });
  });

  test("several ip=, and name servers in their order", () => {
    const text = "nameserver=10.0.0.1 ip=eth0:dhcp ip=10.1.2.3::10.1.2.1:24::eth1:none:10.1.2.8 nameserver=10.0.0.2";
    const parsed = parseNetworkArguments(text);
    expect(parsed.requests.map((request) => request.interface)).toEqual(["eth0", "eth1"]);
    expect(parsed.nameservers).toEqual(["10.0.0.1", "10.1.2.8", "10.0.0.2"]);
  });

  test("ifname= names a card, wherever it stands", () => {
    const parsed = parseNetworkArguments(`ip=lan:dhcp ifname=lan:${mac}`);
    expect(parsed.requests).toEqual([dhcp("ip=lan:dhcp", mac)]);
  });

  test.each(["01-52-54-00-12-34-56", "52:54:00:12:34:56", "01-52-54-00-12-34-56".toUpperCase()])(
    "BOOTIF=%s is the interface that nobody names",
    (value) => {
      expect(parseNetworkArguments(`BOOTIF=${value}`).requests).toEqual([dhcp(null, mac)]);
      expect(parseNetworkArguments(`ip=dhcp BOOTIF=${value}`).requests).toEqual([dhcp("ip=dhcp", mac)]);
      expect(parseNetworkArguments(`ip=eth7:dhcp BOOTIF=${value}`).requests).toEqual([dhcp("ip=eth7:dhcp", "eth7")]);
    },
  );

  test("rd.bootif=0: BOOTIF= counts for nothing", () => {
    expect(parseNetworkArguments("BOOTIF=01-52-54-00-12-34-56 rd.bootif=0").requests).toEqual([dhcp(null, null)]);
    expect(parseNetworkArguments("rd.bootif=0 BOOTIF=01-52-54-00-12-34-56 ip=dhcp").requests).toEqual([
      dhcp("ip=dhcp", null),
    ]);
  });

  test("bootdev= is the interface that nobody names, before BOOTIF=", () => {
    const boot = "bootdev=lan BOOTIF=01-52-54-00-00-00-09";
    expect(parseNetworkArguments(`${boot} ifname=lan:${mac}`).requests).toEqual([dhcp(null, mac)]);
    expect(parseNetworkArguments(`${boot} ip=dhcp`).requests).toEqual([dhcp("ip=dhcp", "lan")]);
    expect(parseNetworkArguments(`${boot} ip=eth7:dhcp`).requests).toEqual([dhcp("ip=eth7:dhcp", "eth7")]);
  });

  test("what stands in the quotes of another argument is not taken for one", () => {
    expect(parseNetworkArguments('reimage.target.disk="model=X ip=wrong"').requests).toEqual([dhcp(null, null)]);
  });
});

describe("vlan=", () => {
  const places = (commandLine: string) =>
    parseNetworkArguments(commandLine).requests.map((request) => [request.interface, request.vlan]);

  test.each([
    ["vlan0005", 5],
    ["vlan5", 5],
    ["eth0.0005", 5],
    ["eth0.5", 5],
    ["vlan4094", 4094],
    ["lan-2.1", 1],
    ["enp3s0f0.4094", 4094],
  ])("%s is VLAN %d", (name, id) => {
    expect(parseNetworkArguments(`vlan=${name}:eth0 ip=${name}:dhcp:1400`)).toEqual({
      requests: [{ ...dhcp(`ip=${name}:dhcp:1400`, "eth0", 1400), vlan: { name, id } }],
      nameservers: [],
    });
  });

  test("with an address, a gateway and a name server", () => {
    const argument = "ip=10.1.2.3::10.1.2.1:24::eth0.7:none:10.1.2.8";
    const { requests, nameservers } = parseNetworkArguments(`${argument} vlan=eth0.7:eth0`);
    expect(requests as unknown[]).toEqual([
      { ...(fixed(argument, "eth0") as object), vlan: { name: "eth0.7", id: 7 } },
    ]);
    expect(nameservers).toEqual(["10.1.2.8"]);
  });

  test("on a card that is named by its MAC address, or by ifname=", () => {
    const vlan = { name: "vlan5", id: 5 };
    expect(places("vlan=vlan5:52-54-00-12-34-56 ip=vlan5:dhcp")).toEqual([[mac, vlan]]);
    expect(places(`vlan=vlan5:${mac} ip=vlan5:dhcp`)).toEqual([[mac, vlan]]);
    expect(places(`ip=vlan5:dhcp vlan=vlan5:lan ifname=lan:${mac}`)).toEqual([[mac, vlan]]);
  });

  test("the only one is what an ip= that names no interface is about, whatever the machine was booted from", () => {
    const vlan = { name: "vlan5", id: 5 };
    expect(places("vlan=vlan5:eth0 ip=dhcp BOOTIF=01-52-54-00-12-34-56")).toEqual([["eth0", vlan]]);
    expect(places("vlan=vlan5:eth0 ip=10.1.2.3::10.1.2.1:24")).toEqual([["eth0", vlan]]);
  });

  test("without an ip= each of them asks by DHCP", () => {
    expect(parseNetworkArguments("vlan=vlan5:eth0 vlan=eth1.6:eth1").requests).toEqual([
      { ...dhcp("vlan=vlan5:eth0", "eth0"), vlan: { name: "vlan5", id: 5 } },
      { ...dhcp("vlan=eth1.6:eth1", "eth1"), vlan: { name: "eth1.6", id: 6 } },
    ]);
  });

  test("bootdev= says which of several", () => {
    expect(places("vlan=vlan5:eth0 ip=dhcp bootdev=vlan5")).toEqual([["eth0", { name: "vlan5", id: 5 }]]);
    expect(places("vlan=vlan5:eth0 ip=vlan5:dhcp bootdev=eth0")).toEqual([["eth0", { name: "vlan5", id: 5 }]]);
  });

  test("VLANs and the card itself beside each other", () => {
    const text =
      "vlan=eth0.5:eth0 vlan=eth0.6:eth0 vlan=eth1.5:eth1 ip=eth0:dhcp ip=eth0.5:dhcp ip=eth0.6:dhcp ip=eth1.5:dhcp";
    expect(places(text)).toEqual([
      ["eth0", null],
      ["eth0", { name: "eth0.5", id: 5 }],
      ["eth0", { name: "eth0.6", id: 6 }],
      ["eth1", { name: "eth1.5", id: 5 }],
    ]);
  });
});

function refusal(commandLine: string): ReimageError {
  try {
    parseNetworkArguments(commandLine);
  } catch (error) {
    if (error instanceof ReimageError) return error;
    throw error;
  }
  throw new Error(`${commandLine} was accepted`);
}

describe("refused, with the argument and the reason", () => {
  test.each([
    ["ip=", '"" is no way to get an address'],
    ["ip=dchp", '"dchp" is no way to get an address'],
    ["ip=none", "has no address"],
    ["ip=eth0:off", "has no address"],
    ["ip=10.1.2.3", "the netmask is missing"],
    ["ip=10.1.2.3::10.1.2.1::host:eth0:none", "the netmask is missing"],
    ["ip=10.1.2.3::10.1.2.1:255.0.255.0::eth0:none", "255.0.255.0 is neither a netmask"],
    ["ip=10.1.2.3::10.1.2.1:33::eth0:none", "33 is neither a netmask"],
    ["ip=10.1.2.3::10.1.2.1:0::eth0:none", "0 is neither a netmask"],
    ["ip=10.1.2.300::10.1.2.1:24::eth0:none", `the client's address, "10.1.2.300", is not an IPv4 address`],
    ["ip=10.1.2.03::10.1.2.1:24::eth0:none", "is not an IPv4 address"],
    ["ip=10.1.2::10.1.2.1:24::eth0:none", "is not an IPv4 address"],
    ["ip=10.1.2.3:peer:10.1.2.1:24::eth0:none", 'the peer, "peer"'],
    ["ip=10.1.2.3::10.1.3.1:24::eth0:none", "the gateway 10.1.3.1 is not in the network of 10.1.2.3/24"],
    ["ip=10.1.2.3::10.1.2.1:24::eth0:dhcp", "has an address, and yet dhcp"],
    ["ip=10.1.2.3::10.1.2.1:24::eth0:static", '"static" is no way'],
    ["ip=10.1.2.3::10.1.2.1:24::eth/0:none", '"eth/0" is not the name of an interface'],
    ["ip=10.1.2.3::10.1.2.1:24::eth0.7:none", "eth0.7 is a VLAN: vlan=eth0.7:<interface> is missing"],
    ["ip=vlan0005:dhcp", "vlan0005 is a VLAN: vlan=vlan0005:<interface> is missing"],
    ["ip=eth0.5:dhcp vlan=eth0.0005:eth0", "eth0.5 is a VLAN: vlan=eth0.5:<interface> is missing"],
    ["bootdev=eth0.5 ip=dhcp", "eth0.5 is a VLAN: vlan=eth0.5:<interface> is missing"],
    ["ip=10.1.2.3::10.1.2.1:24::eth0:none:dns.example", 'the name server, "dns.example"'],
    ["ip=10.1.2.3::10.1.2.1:24::eth0:none:1:2:3", "too many fields"],
    ["ip=eth0:dhcp:20", '"20" is not an MTU'],
    ["ip=eth0:dhcp:1500:52:54:00:12:34:56", "another MAC address is not supported"],
    ["ip=10.1.2.3::10.1.2.1:24::eth0:none::52:54:00:12:34:56", "another MAC address is not supported"],
    ["ip=eth0:auto6", "IPv6 (auto6) is not supported yet"],
    ["ip=dhcp6", "IPv6 (dhcp6) is not supported yet"],
    ["ip=[2001:db8::7]::[2001:db8::1]:64::eth0:none", "IPv6 is not supported yet"],
    ["ip=ibft", "ibft is not supported"],
    ["ip=eth0:single-dhcp", "single-dhcp is not supported"],
    ["nameserver=2001:db8::1", "IPv6 is not supported yet"],
    ["nameserver=dns", 'the name server, "dns", is not an IPv4 address'],
    ["vlan=", "expected vlan=<name>:<interface>"],
    ["vlan=vlan5", "expected vlan=<name>:<interface>"],
    ["vlan=vlan5:", "expected vlan=<name>:<interface>"],
    ["vlan=:eth0", "expected vlan=<name>:<interface>"],
    ["vlan=office:eth0", '"office" is not the name of a VLAN: expected vlan0005, vlan5, eth0.0005 or eth0.5'],
    ["vlan=eth0.5x:eth0", '"eth0.5x" is not the name of a VLAN'],
    ["vlan=../x.5:eth0", '"../x.5" is not the name of a VLAN'],
    ["vlan=averylongname0.5:eth0", '"averylongname0.5" is not the name of a VLAN'],
    ["vlan=vlan0:eth0", "0 is no VLAN: expected 1 to 4094"],
    ["vlan=eth0.4095:eth0", "4095 is no VLAN: expected 1 to 4094"],
    ["vlan=vlan5:eth/0", '"eth/0" is not the name of an interface'],
    ["vlan=vlan5:eth0:6", '"eth0:6" is not the name of an interface'],
    ["vlan=vlan5:eth0.6 vlan=eth0.6:eth0", "a VLAN on a VLAN is not supported"],
    ["vlan=vlan5:eth0 vlan=vlan5:eth1", "vlan=vlan5:eth1: vlan=vlan5:eth0 has the same name"],
    ["vlan=vlan5:eth0 vlan=eth0.5:eth0", "vlan=eth0.5:eth0: vlan=vlan5:eth0 is about the same interface"],
    ["vlan=vlan5:eth0 vlan=eth0.5:eth0 ip=vlan5:dhcp ip=eth0.5:dhcp", "ip=vlan5:dhcp is about the same interface"],
    ["vlan=vlan5:eth0 ip=vlan5:dhcp ip=10.1.2.3:::24::vlan5:none", "ip=vlan5:dhcp is about the same interface"],
    ["vlan=vlan5:eth0 ip=eth0:dhcp", "vlan=vlan5:eth0: no ip= is about it"],
    ["vlan=vlan5:eth0 vlan=vlan6:eth0 ip=vlan5:dhcp", "vlan=vlan6:eth0: no ip= is about it"],
    ["vlan=vlan5:eth0 vlan=vlan6:eth0 ip=dhcp", "ip=dhcp: names no interface, and there are several vlan="],
    ["bootdev=eth/0", '"eth/0" is not the name of an interface'],
    ["team=team0:eth0,eth1", "is not supported yet"],
    ["bridge=br0:eth0", "is not supported yet"],
    ["bond=bond0:eth0,eth1", "is not supported yet"],
    ["rd.route=192.0.2.0/24:10.1.2.1", "is not supported yet"],
    [`ifname=vlan5:${mac}`, "vlan5 is the name of a VLAN, not of a card"],
    ["ifname=lan", "expected ifname=<name>:<MAC address>"],
    ["BOOTIF=eth0", "expected BOOTIF=01-<MAC address with dashes>"],
    ["ip=dhcp ip=eth0:dhcp", "ip=dhcp: names no interface, and there are several ip="],
    ["ip=eth0:dhcp ip=10.1.2.3::10.1.2.1:24::eth0:none", "ip=eth0:dhcp is about the same interface"],
  ])("%s: %s", (commandLine, reason) => {
    const error = refusal(commandLine);
    expect(error.code).toBe("config");
    expect(error.message).toStartWith("the kernel command line: ");
    expect(error.message).toContain(reason);
    expect(error.hint).toContain("ip=<client>::<gateway>:<netmask>::<interface>:none");
  });

  test("every one of them at once", () => {
    expect(refusal("ip=dchp nameserver=dns bond=x").message).toBe(
      'the kernel command line: ip=dchp: "dchp" is no way to get an address: expected dhcp, or none with an address; nameserver=dns: the name server, "dns", is not an IPv4 address; bond=x: is not supported yet',
    );
  });
});

test("the examples of docs/configuration.md are understood", () => {
  const text = readFileSync(join(import.meta.dir, "../../../docs/configuration.md"), "utf8");
  const examples = [...text.matchAll(/^ {4}((?:(?:ip|vlan|nameserver|ifname|BOOTIF)=[^\s<…]+ ?)+)(?: {2,}| as |$)/gm)];
  expect(examples.length).toBeGreaterThan(8);
  for (const [, example = ""] of examples) expect(() => parseNetworkArguments(example)).not.toThrow();
});
