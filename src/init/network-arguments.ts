/**
 * What the kernel command line says about the network, spelt as dracut.cmdline(7) does: `ip=`, `nameserver=`, `ifname=`,
 * and the `BOOTIF=` of pxelinux and iPXE. Pure; what is not supported is refused by its name.
 */
import { splitArguments } from "../config/kernel-command-line.ts";
import { ReimageError } from "../errors.ts";
import { areInSameNetwork, isIpv4, parseMac, parsePrefixLength } from "./network-address.ts";

/** How an interface gets its address. */
export type Method =
  | { readonly kind: "dhcp" }
  | {
      readonly kind: "static";
      readonly address: string;
      readonly prefixLength: number;
      /** The other end of a point-to-point link. */
      readonly peer: string | null;
      readonly gateway: string | null;
    };

/** One `ip=`, or what is done without one. */
export interface LinkRequest {
  /** The argument itself, for messages; null where there was none. */
  readonly argument: string | null;
  /** The kernel's name (`eth0`) or a MAC address; null: the one that the machine was booted from, or any. */
  readonly interface: string | null;
  readonly method: Method;
  readonly mtuBytes: number | null;
}

/** All that the command line says. */
export interface NetworkArguments {
  /** Never empty: DHCP, where there is no `ip=`. */
  readonly requests: readonly LinkRequest[];
  /** Whether there was an `ip=`. */
  readonly isAsked: boolean;
  /** Of `nameserver=` and of the `ip=` that have one; they come before those of DHCP. */
  readonly nameservers: readonly string[];
}

const DHCP = ["dhcp", "on", "any"];
const STATIC = ["none", "off"];
const FORMS =
  "write ip=dhcp, ip=<interface>:dhcp or ip=<client>::<gateway>:<netmask>::<interface>:none[:<nameserver>] (docs/configuration.md, The network)";
const NOT_YET = /^(vlan|bond|team|bridge|rd\.route)=/;

/** Thrown and caught here alone: what is wrong with one argument. */
class Problem extends Error {}

/** @throws ReimageError `config`, naming every argument that is wrong, or not supported, and why. */
export function parseNetworkArguments(commandLine: string): NetworkArguments {
  const problems: string[] = [];
  const requests: LinkRequest[] = [];
  const nameservers: string[] = [];
  const names = new Map<string, string>();
  let booted: string | null = null;
  for (const argument of splitArguments(commandLine)) {
    const equals = argument.indexOf("=");
    const key = argument.slice(0, equals);
    const value = argument.slice(equals + 1);
    try {
      if (key === "ip") {
        const parsed = parseIp(argument, value);
        requests.push(parsed.request);
        nameservers.push(...parsed.nameservers);
      } else if (key === "nameserver") nameservers.push(ipv4(value, "the name server"));
      else if (key === "ifname") names.set(...parseIfname(value));
      else if (key === "BOOTIF") booted = parseBootif(value);
      else if (NOT_YET.test(argument)) throw new Problem("is not supported yet");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      problems.push(`${argument}: ${problem.message}`);
    }
  }
  const given = requests.map((request) => ({
    ...request,
    interface: request.interface === null ? booted : (names.get(request.interface) ?? request.interface),
  }));
  problems.push(...findConflicts(given));
  if (problems.length > 0) {
    throw new ReimageError("config", `the kernel command line: ${problems.join("; ")}`, { hint: FORMS });
  }
  const byDefault = { argument: null, interface: booted, method: { kind: "dhcp" }, mtuBytes: null } as const;
  return { requests: given.length === 0 ? [byDefault] : given, isAsked: given.length > 0, nameservers };
}

function findConflicts(requests: readonly LinkRequest[]): string[] {
  return requests.flatMap((request, i) => {
    if (requests.length > 1 && request.interface === null)
      return [`${request.argument}: names no interface, and there are several ip=`];
    const earlier = requests.slice(0, i).find((other) => other.interface === request.interface);
    return earlier === undefined ? [] : [`${request.argument}: ${earlier.argument} is about the same interface`];
  });
}

interface ParsedIp {
  readonly request: LinkRequest;
  readonly nameservers: readonly string[];
}

function parseIp(argument: string, value: string): ParsedIp {
  if (value.includes("[")) throw new Problem("IPv6 is not supported yet");
  // A MAC address in place of an interface has colons of its own.
  const macs = /(?<=^|:)[0-9a-f]{2}(?::[0-9a-f]{2}){5}(?=:|$)/gi;
  const fields = value.replace(macs, (mac) => mac.replaceAll(":", "-")).split(":");
  const [first = "", second = ""] = fields;
  if (fields.length === 1) {
    if (isIpv4(first)) throw new Problem("the netmask is missing");
    return { request: dhcpRequest(argument, null, first, null), nameservers: [] };
  }
  if (first !== "" && !/^[0-9.]+$/.test(first)) {
    if (fields.length > 4) throw new Problem("has too many fields");
    const [, , mtu = "", mac = ""] = fields;
    refuseMac(mac);
    return { request: dhcpRequest(argument, parseInterface(first), second, mtu), nameservers: [] };
  }
  return parseLongForm(argument, fields);
}

/** `<client>:[<peer>]:<gateway>:<netmask>:<hostname>:<interface>:<method>[:<dns1>[:<dns2>]]` or `…[:<mtu>[:<mac>]]`. */
function parseLongForm(argument: string, fields: readonly string[]): ParsedIp {
  if (fields.length > 9) throw new Problem("has too many fields");
  const [client = "", peer = "", gateway = "", netmask = "", , name = "", method = "", ...rest] = fields;
  const isMtu = /^[0-9]+$/.test(rest[0] ?? "") || parseMac(rest[1] ?? "") !== null;
  const mtu = isMtu ? (rest[0] ?? "") : "";
  if (isMtu) refuseMac(rest[1] ?? "");
  const nameservers = isMtu ? [] : rest.filter((text) => text !== "").map((text) => ipv4(text, "the name server"));
  const interfaceName = name === "" ? null : parseInterface(name);
  if (client === "") {
    return { request: dhcpRequest(argument, interfaceName, method === "" ? "dhcp" : method, mtu), nameservers };
  }
  const address = ipv4(client, "the client's address");
  if (DHCP.includes(method)) throw new Problem(`has an address, and yet ${method}: leave one of them out`);
  if (method !== "" && !STATIC.includes(method)) refuseMethod(method);
  if (netmask === "") throw new Problem("the netmask is missing");
  const prefixLength = parsePrefixLength(netmask);
  if (prefixLength === null) {
    throw new Problem(`${netmask} is neither a netmask such as 255.255.255.0 nor a prefix length such as 24`);
  }
  // Boot loaders write the boot server in place of the peer: it counts where there is no network around the address.
  const other = peer === "" ? null : ipv4(peer, "the peer");
  const isPointToPoint = prefixLength === 32;
  const via = gateway === "" ? null : ipv4(gateway, "the gateway");
  if (via !== null && !isPointToPoint && !areInSameNetwork(address, via, prefixLength)) {
    throw new Problem(`the gateway ${via} is not in the network of ${address}/${prefixLength}`);
  }
  const how = { kind: "static", address, prefixLength, peer: isPointToPoint ? other : null, gateway: via } as const;
  return { request: { argument, interface: interfaceName, method: how, mtuBytes: parseMtu(mtu) }, nameservers };
}

function dhcpRequest(argument: string, name: string | null, method: string, mtu: string | null): LinkRequest {
  if (STATIC.includes(method)) throw new Problem("has no address");
  if (!DHCP.includes(method)) refuseMethod(method);
  return { argument, interface: name, method: { kind: "dhcp" }, mtuBytes: parseMtu(mtu ?? "") };
}

function refuseMethod(method: string): never {
  if (/^(dhcp6|auto6|either6|link6)$/.test(method)) throw new Problem(`IPv6 (${method}) is not supported yet`);
  if (/^(ibft|single-dhcp|bootp|rarp|both)$/.test(method)) throw new Problem(`${method} is not supported`);
  throw new Problem(`${JSON.stringify(method)} is no way to get an address: expected dhcp, or none with an address`);
}

function ipv4(text: string, what: string): string {
  if (isIpv4(text)) return text;
  if (text.includes(":") || text.includes("[")) throw new Problem("IPv6 is not supported yet");
  throw new Problem(`${what}, ${JSON.stringify(text)}, is not an IPv4 address`);
}

function parseInterface(text: string): string {
  const mac = parseMac(text);
  if (mac !== null) return mac;
  if (/^[a-z][a-z0-9_-]{0,14}\.[0-9]+$/i.test(text)) throw new Problem(`${text} is a VLAN, which is not supported yet`);
  // As the kernel's dev_valid_name(), less what would not do as a file name here.
  if (/^[a-z][a-z0-9_.-]{0,14}$/i.test(text)) return text;
  throw new Problem(`${JSON.stringify(text)} is not the name of an interface`);
}

function parseMtu(text: string): number | null {
  if (text === "") return null;
  const mtu = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (mtu < 68 || mtu > 65535) throw new Problem(`${JSON.stringify(text)} is not an MTU`); // 68: RFC 791
  return mtu;
}

function refuseMac(text: string): void {
  if (text !== "") throw new Problem("giving a card another MAC address is not supported");
}

/** `<name>:<mac>`: the name under which the other arguments speak of that card. */
function parseIfname(value: string): [string, string] {
  const colon = value.indexOf(":");
  const mac = parseMac(value.slice(colon + 1));
  if (colon < 1 || mac === null) throw new Problem("expected ifname=<name>:<MAC address>");
  return [value.slice(0, colon), mac];
}

/** `01-52-54-00-12-34-56`: the hardware type (1: Ethernet) and the MAC address. */
function parseBootif(value: string): string {
  const mac = parseMac(value.replace(/^01-(?=(..-){5}..$)/, ""));
  if (mac === null) throw new Problem("expected BOOTIF=01-<MAC address with dashes>");
  return mac;
}
