/**
 * What the kernel command line says about the network, spelt as dracut.cmdline(7) does: `ip=`, `vlan=`, `nameserver=`,
 * `ifname=`, and the `BOOTIF=` of pxelinux and iPXE. Pure; what is not supported is refused by its name.
 */
import { splitArguments } from "../config/kernel-command-line.ts";
import { ReimageError } from "../errors.ts";
import { parseMac } from "./network-address.ts";
import { ipv4, type Method, type ParsedIp, Problem, parseInterface, parseIp } from "./network-ip.ts";
import { isVlanName, type ParsedVlan, parseVlan, type Vlan } from "./network-vlan.ts";

/** One `ip=`, or what is done without one. */
export interface LinkRequest {
  /** The argument itself, for messages; null where there was none. */
  readonly argument: string | null;
  /** The kernel's name (`eth0`) of a card or its MAC address; null: the one that the machine was booted from, or any. */
  readonly interface: string | null;
  /** The VLAN on that card that gets the address; null: the card itself, untagged. */
  readonly vlan: Vlan | null;
  readonly method: Method;
  readonly mtuBytes: number | null;
}

/** All that the command line says. */
export interface NetworkArguments {
  /** Never empty: DHCP, where there is no `ip=`. */
  readonly requests: readonly LinkRequest[];
  /** Of `nameserver=` and of the `ip=` that have one; they come before those of DHCP. */
  readonly nameservers: readonly string[];
}

const FORMS =
  "write ip=dhcp, ip=<interface>:dhcp or ip=<client>::<gateway>:<netmask>::<interface>:none[:<nameserver>], and for a VLAN vlan=<name>:<interface> as well (docs/configuration.md, The network)";
const NOT_YET = /^(bond|team|bridge|rd\.route)=/;

/** What the arguments say, each by itself. */
interface Found {
  readonly ips: ParsedIp[];
  readonly vlans: ParsedVlan[];
  readonly nameservers: string[];
  /** Of `ifname=`: MAC addresses by name. */
  readonly names: Map<string, string>;
  bootdev: string | null;
  bootif: string | null;
}

/** @throws ReimageError `config`, naming every argument that is wrong, or not supported, and why. */
export function parseNetworkArguments(commandLine: string): NetworkArguments {
  const problems: string[] = [];
  const found: Found = { ips: [], vlans: [], nameservers: [], names: new Map(), bootdev: null, bootif: null };
  const collect = (argument: string, work: () => void) => {
    try {
      work();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      problems.push(`${argument}: ${problem.message}`);
    }
  };
  const words = splitArguments(commandLine);
  for (const argument of words) collect(argument, () => readArgument(argument, found));
  if (words.includes("rd.bootif=0")) found.bootif = null;
  const given: LinkRequest[] = [];
  for (const ip of found.ips) collect(ip.argument, () => given.push(resolveIp(ip, found)));
  const requests = given.length === 0 ? requestsWithoutIp(found) : given;
  if (problems.length === 0) problems.push(...findConflicts(requests, found.vlans));
  if (problems.length > 0) {
    throw new ReimageError("config", `the kernel command line: ${problems.join("; ")}`, { hint: FORMS });
  }
  return { requests, nameservers: found.nameservers };
}

/** @throws Problem */
function readArgument(argument: string, found: Found): void {
  const equals = argument.indexOf("=");
  const key = argument.slice(0, equals);
  const value = argument.slice(equals + 1);
  if (key === "ip") {
    const ip = parseIp(argument, value);
    found.ips.push(ip);
    found.nameservers.push(...ip.nameservers);
  } else if (key === "vlan") {
    const vlan = parseVlan(argument, value);
    const earlier = found.vlans.find(({ name }) => name === vlan.name);
    if (earlier !== undefined) throw new Problem(`${earlier.argument} has the same name`);
    found.vlans.push(vlan);
  } else if (key === "nameserver") found.nameservers.push(ipv4(value, "the name server"));
  else if (key === "ifname") found.names.set(...parseIfname(value));
  else if (key === "bootdev") found.bootdev = parseInterface(value);
  else if (key === "BOOTIF") found.bootif = parseBootif(value);
  else if (NOT_YET.test(argument)) throw new Problem("is not supported yet");
}

/** Which card, and which VLAN on it, an `ip=` is about. @throws Problem */
function resolveIp({ argument, interface: named, method, mtuBytes }: ParsedIp, found: Found): LinkRequest {
  const { vlans, names, bootdev, bootif } = found;
  if (named === null && found.ips.length > 1) throw new Problem("names no interface, and there are several ip=");
  const wanted = named ?? bootdev;
  if (wanted === null && vlans.length > 1) throw new Problem("names no interface, and there are several vlan=");
  const vlan = wanted === null ? vlans[0] : vlans.find(({ name }) => name === wanted);
  if (vlan !== undefined) return { argument, ...placeOf(vlan, names), method, mtuBytes };
  if (wanted !== null && isVlanName(wanted)) {
    throw new Problem(`${wanted} is a VLAN: vlan=${wanted}:<interface> is missing`);
  }
  return {
    argument,
    interface: wanted === null ? bootif : (names.get(wanted) ?? wanted),
    vlan: null,
    method,
    mtuBytes,
  };
}

/** DHCP: on each VLAN, where there are any, and else on the card that the machine was booted from, or any. */
function requestsWithoutIp({ vlans, names, bootdev, bootif }: Found): LinkRequest[] {
  const dhcp = { method: { kind: "dhcp" }, mtuBytes: null } as const;
  if (vlans.length > 0) return vlans.map((vlan) => ({ argument: vlan.argument, ...placeOf(vlan, names), ...dhcp }));
  const booted = bootdev === null ? bootif : (names.get(bootdev) ?? bootdev);
  return [{ argument: null, interface: booted, vlan: null, ...dhcp }];
}

function placeOf({ name, id, device }: ParsedVlan, names: ReadonlyMap<string, string>) {
  return { interface: names.get(device) ?? device, vlan: { name, id } };
}

function findConflicts(requests: readonly LinkRequest[], vlans: readonly ParsedVlan[]): string[] {
  const unused = vlans.filter((vlan) => !requests.some((each) => each.vlan?.name === vlan.name));
  const twice = requests.flatMap((request, i) => {
    const earlier = requests.slice(0, i).find((other) => isSamePlace(other, request));
    return earlier === undefined ? [] : [`${request.argument}: ${earlier.argument} is about the same interface`];
  });
  return [...unused.map(({ argument }) => `${argument}: no ip= is about it`), ...twice];
}

function isSamePlace(a: LinkRequest, b: LinkRequest): boolean {
  return a.interface === b.interface && a.vlan?.id === b.vlan?.id;
}

/** `<name>:<mac>`: the name under which the other arguments speak of that card. */
function parseIfname(value: string): [string, string] {
  const colon = value.indexOf(":");
  const mac = parseMac(value.slice(colon + 1));
  if (colon < 1 || mac === null) throw new Problem("expected ifname=<name>:<MAC address>");
  const name = value.slice(0, colon);
  if (isVlanName(name)) throw new Problem(`${name} is the name of a VLAN, not of a card`);
  return [name, mac];
}

/** `01-52-54-00-12-34-56`: the hardware type (1: Ethernet) and the MAC address. */
function parseBootif(value: string): string {
  const mac = parseMac(value.replace(/^01-(?=(..-){5}..$)/, ""));
  if (mac === null) throw new Problem("expected BOOTIF=01-<MAC address with dashes>");
  return mac;
}
