/** The network interfaces of the machine: facts from sysfs (Documentation/ABI/testing/sysfs-class-net), and which one is meant. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { parseMac } from "./network-address.ts";
import type { LinkRequest } from "./network-arguments.ts";
import type { Vlan } from "./network-vlan.ts";

/** An interface with a cable, or what a virtual machine has in its place. */
export interface NetworkInterface {
  /** The kernel's: there is no udev to give others. */
  readonly name: string;
  readonly mac: string;
  readonly driver: string | null;
  /** Null as long as the interface is down. */
  readonly hasCarrier: boolean | null;
}

/** The wired interfaces, by number in the name. Wireless ones, `lo` and others without hardware are left out. */
export function readInterfaces(directory = "/sys/class/net"): NetworkInterface[] {
  const found: NetworkInterface[] = [];
  for (const name of readdirSync(directory)) {
    const at = (file: string) => join(directory, name, file);
    const isWireless = existsSync(at("wireless")) || existsSync(at("phy80211"));
    const isEthernet = read(at("type")) === "1"; // ARPHRD_ETHER
    if (!isEthernet || isWireless || !existsSync(at("device"))) continue;
    const carrier = read(at("carrier")); // EINVAL while it is down
    found.push({
      name,
      mac: read(at("address")) ?? "",
      driver: readDriver(at("device/driver")),
      hasCarrier: carrier === null ? null : carrier === "1",
    });
  }
  return found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** A VLAN's interface that is there already. */
export interface VlanInterface {
  readonly id: number;
  /** The card that it is on. */
  readonly card: string;
  readonly isUp: boolean;
}

/** The VLAN of that name (/proc/net/vlan, of the kernel's 8021q); null where there is none. */
export function readVlan(name: string): VlanInterface | null {
  const text = read(join("/proc/net/vlan", name));
  if (text === null) return null;
  const [, id] = /\bVID: ([0-9]+)/.exec(text) ?? [];
  const [, card = ""] = /^Device: (\S+)/m.exec(text) ?? [];
  return { id: Number(id), card, isUp: read(join("/sys/class/net", name, "carrier")) !== null };
}

/** The largest packet of an interface, in bytes. */
export function readMtu(name: string): number {
  return Number(read(join("/sys/class/net", name, "mtu")));
}

/** The text of an attribute; null where the interface has none, or is gone by now. */
function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EINVAL", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

function readDriver(link: string): string | null {
  try {
    return basename(readlinkSync(link));
  } catch (error) {
    if (["ENOENT", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

/** The interfaces that a request is about, and why there are none. */
export interface Choice {
  readonly interfaces: readonly NetworkInterface[];
  readonly problem: string | null;
}

/** Which interfaces a request means: the named one, or all for DHCP, or the only one for an address of its own (pure). */
export function chooseInterfaces(request: LinkRequest, interfaces: readonly NetworkInterface[]): Choice {
  const { interface: wanted, method } = request;
  if (wanted !== null) {
    const isMac = parseMac(wanted) !== null;
    const named = interfaces.filter(({ name, mac }) => (isMac ? mac === wanted : name === wanted));
    const what = isMac ? `no interface with the MAC address ${wanted}` : `no interface ${wanted}`;
    return { interfaces: named, problem: named.length === 0 ? `there is ${what}` : null };
  }
  if (interfaces.length === 0) return { interfaces, problem: "there is no wired network interface" };
  if (method.kind === "static" && interfaces.length > 1) {
    return { interfaces: [], problem: `${request.argument} names no interface, and there are several` };
  }
  return { interfaces, problem: null };
}

/** `eth0 (52:54:00:12:34:56, virtio_net)`, or `eth0.5 (VLAN 5 on eth0, 52:54:00:12:34:56, virtio_net)` (pure). */
export function describeInterface({ name, mac, driver }: NetworkInterface, vlan: Vlan | null = null): string {
  const parts = [vlan === null ? null : `VLAN ${vlan.id} on ${name}`, mac, driver];
  return `${vlan?.name ?? name} (${parts.filter((part) => part !== null && part !== "").join(", ")})`;
}
