/** One `ip=` of the kernel command line, spelt as dracut.cmdline(7) does (pure). */
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

/** What one `ip=` says. */
export interface ParsedIp {
  /** The argument itself, for messages. */
  readonly argument: string;
  /** As it is written, or a MAC address; null where none is named. */
  readonly interface: string | null;
  readonly method: Method;
  readonly mtuBytes: number | null;
  readonly nameservers: readonly string[];
}

/** What is wrong with one argument; network-arguments.ts collects them. */
export class Problem extends Error {}

const DHCP = ["dhcp", "on", "any"];
const STATIC = ["none", "off"];

/** @throws Problem */
export function parseIp(argument: string, value: string): ParsedIp {
  if (value.includes("[")) throw new Problem("IPv6 is not supported yet");
  // A MAC address in place of an interface has colons of its own.
  const macs = /(?<=^|:)[0-9a-f]{2}(?::[0-9a-f]{2}){5}(?=:|$)/gi;
  const fields = value.replace(macs, (mac) => mac.replaceAll(":", "-")).split(":");
  const [first = "", second = ""] = fields;
  if (fields.length === 1) {
    if (isIpv4(first)) throw new Problem("the netmask is missing");
    return { ...parseDhcp(argument, null, first, null), nameservers: [] };
  }
  if (first !== "" && !/^[0-9.]+$/.test(first)) {
    if (fields.length > 4) throw new Problem("has too many fields");
    const [, , mtu = "", mac = ""] = fields;
    refuseMac(mac);
    return { ...parseDhcp(argument, parseInterface(first), second, mtu), nameservers: [] };
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
    return { ...parseDhcp(argument, interfaceName, method === "" ? "dhcp" : method, mtu), nameservers };
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
  return { argument, interface: interfaceName, method: how, mtuBytes: parseMtu(mtu), nameservers };
}

function parseDhcp(argument: string, name: string | null, method: string, mtu: string | null) {
  if (STATIC.includes(method)) throw new Problem("has no address");
  if (!DHCP.includes(method)) refuseMethod(method);
  return { argument, interface: name, method: { kind: "dhcp" as const }, mtuBytes: parseMtu(mtu ?? "") };
}

function refuseMethod(method: string): never {
  if (/^(dhcp6|auto6|either6|link6)$/.test(method)) throw new Problem(`IPv6 (${method}) is not supported yet`);
  if (/^(ibft|single-dhcp|bootp|rarp|both)$/.test(method)) throw new Problem(`${method} is not supported`);
  throw new Problem(`${JSON.stringify(method)} is no way to get an address: expected dhcp, or none with an address`);
}

/** @throws Problem where `text` is none; `what` it should be. */
export function ipv4(text: string, what: string): string {
  if (isIpv4(text)) return text;
  if (text.includes(":") || text.includes("[")) throw new Problem("IPv6 is not supported yet");
  throw new Problem(`${what}, ${JSON.stringify(text)}, is not an IPv4 address`);
}

/** A name as the kernel allows it, or a MAC address. @throws Problem */
export function parseInterface(text: string): string {
  const mac = parseMac(text);
  if (mac !== null) return mac;
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
