/** Bringing interfaces up: the link, its carrier, an address by DHCP or as the operator wrote it. busybox's `ip` does the work. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../errors.ts";
import { runCommand } from "../system/commands.ts";
import type { LinkRequest, NetworkArguments } from "./network-arguments.ts";
import { networkDirectory, readLease, startDhcp, stopDhcp } from "./network-dhcp.ts";
import { networkError } from "./network-error.ts";
import {
  chooseInterfaces,
  describeInterface,
  type NetworkInterface,
  readInterfaces,
  readMtu,
  readVlan,
} from "./network-interfaces.ts";
import type { Method } from "./network-ip.ts";
import type { Vlan } from "./network-vlan.ts";

const POLL_MILLISECONDS = 200;

/** An interface that has its address. */
export interface Link {
  readonly name: string;
  readonly description: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string | null;
  readonly nameservers: readonly string[];
  /** `DHCP from 10.0.2.2`, or the argument of the kernel command line. */
  readonly by: string;
}

export interface BringUpOptions {
  /** How long to look for interfaces, a carrier, and the answer of a DHCP server, all together. */
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  readonly onDetail: (message: string) => void;
}

/**
 * Brings up what is asked for. DHCP that names no interface is tried on all of them, and the first answer counts.
 * @throws ReimageError `network` after `waitSeconds`, with what each interface lacks; whatever aborted `signal`.
 */
export async function bringUp(wanted: NetworkArguments, options: BringUpOptions): Promise<readonly Link[]> {
  const deadline = performance.now() + options.waitSeconds * 1000;
  mkdirSync(networkDirectory, { recursive: true });
  await ip("link", "set", "lo", "up");
  writeNameservers(wanted.nameservers);
  const up = new Map<LinkRequest, Link>();
  const failures = new Map<string, string>();
  for (;;) {
    const interfaces = readInterfaces();
    for (const request of wanted.requests.filter((each) => !up.has(each))) {
      const link = await attempt(request, interfaces, wanted.nameservers, failures, options);
      if (link !== null) up.set(request, link);
    }
    if (up.size === wanted.requests.length) return wanted.requests.flatMap((request) => up.get(request) ?? []);
    if (performance.now() >= deadline) {
      const missing = wanted.requests.filter((request) => !up.has(request));
      throw networkError(missing, readInterfaces(), options.waitSeconds, failures);
    }
    await sleep(POLL_MILLISECONDS, undefined, { signal: options.signal });
  }
}

/** One look at a request. @returns null as long as none of its interfaces has an address. */
async function attempt(
  request: LinkRequest,
  interfaces: readonly NetworkInterface[],
  nameservers: readonly string[],
  failures: Map<string, string>,
  { onDetail }: BringUpOptions,
): Promise<Link | null> {
  const chosen = chooseInterfaces(request, interfaces).interfaces;
  for (const found of chosen) {
    const name = request.vlan?.name ?? found.name;
    try {
      const link = await attemptOn(found, request, nameservers, onDetail);
      failures.delete(name);
      if (link === null) continue;
      for (const other of chosen) if (other !== found) await stopDhcp(other.name);
      return link;
    } catch (error) {
      failures.set(name, describeError(error)); // another interface may do, or this one a moment later
    }
  }
  return null;
}

async function attemptOn(
  found: NetworkInterface,
  request: LinkRequest,
  nameservers: readonly string[],
  onDetail: (message: string) => void,
): Promise<Link | null> {
  const { method, vlan } = request;
  if (found.hasCarrier === null) {
    if (vlan === null) await setMtu(found.name, request.mtuBytes);
    await ip("link", "set", found.name, "up");
    onDetail(`network: ${describeInterface(found)} is switched on`);
  }
  if (found.hasCarrier !== true) return null;
  const name = vlan?.name ?? found.name;
  const description = describeInterface(found, vlan);
  if (vlan !== null && (await addVlan(found.name, vlan, request.mtuBytes)))
    onDetail(`network: ${description} is switched on`);
  if (method.kind === "static") {
    await setAddress(name, method);
    return { ...method, name, description, nameservers, by: request.argument ?? "" };
  }
  const lease = readLease(name);
  if (lease === null) {
    await startDhcp(name, request.mtuBytes === null);
    return null;
  }
  const all = [...nameservers, ...lease.nameservers];
  return { ...lease, name, description, nameservers: all, by: `DHCP from ${lease.server}` };
}

/**
 * Makes a VLAN on a card that is up, and switches it on; the kernel loads 8021q by itself.
 * @returns whether there was something to do.
 */
async function addVlan(card: string, { name, id }: Vlan, mtuBytes: number | null): Promise<boolean> {
  const there = readVlan(name);
  if (there?.isUp && there.id === id && there.card === card) return false;
  if (there !== null) await ip("link", "del", name); // of an earlier process, or of a technician
  if (mtuBytes !== null && mtuBytes > readMtu(card)) await setMtu(card, mtuBytes); // what it carries needs the room
  await ip("link", "add", "link", card, "name", name, "type", "vlan", "id", String(id));
  await setMtu(name, mtuBytes);
  await ip("link", "set", name, "up");
  return true;
}

async function setMtu(name: string, mtuBytes: number | null): Promise<void> {
  if (mtuBytes !== null) await ip("link", "set", name, "mtu", String(mtuBytes));
}

async function setAddress(name: string, method: Extract<Method, { kind: "static" }>): Promise<void> {
  const { address, prefixLength, peer, gateway } = method;
  const network = peer === null ? [`${address}/${prefixLength}`, "broadcast", "+"] : [address, "peer", `${peer}/32`];
  await ip("addr", "replace", ...network, "dev", name);
  if (gateway === null) return;
  // Without a network around the address, the gateway has to be made known by itself.
  if (prefixLength === 32 && gateway !== peer) await ip("route", "replace", gateway, "dev", name);
  await ip("route", "replace", "default", "via", gateway, "dev", name);
}

async function ip(...parameters: string[]): Promise<void> {
  await runCommand("busybox", ["ip", ...parameters], { code: "network" });
}

/** Writes /etc/resolv.conf: those of the command line, then those that DHCP has brought (initramfs/dhcp-event). */
function writeNameservers(nameservers: readonly string[]): void {
  writeFileSync(join(networkDirectory, "fixed.resolv"), nameservers.map((server) => `nameserver ${server}\n`).join(""));
  const byDhcp = readdirSync(networkDirectory).filter((name) => name.endsWith(".dhcp-resolv"));
  const texts = ["fixed.resolv", ...byDhcp].map((name) => readFileSync(join(networkDirectory, name), "utf8"));
  writeFileSync("/etc/resolv.conf.new", texts.join(""));
  renameSync("/etc/resolv.conf.new", "/etc/resolv.conf");
}
