/** The words for a network that did not come up (pure). */
import { ReimageError } from "../errors.ts";
import type { LinkRequest } from "./network-arguments.ts";
import { chooseInterfaces, describeInterface, type NetworkInterface } from "./network-interfaces.ts";

/**
 * What each interface lacks, and what to do about it.
 * @param requests those that have no address yet.
 * @param failures by the name of the interface, or of the VLAN, what went wrong on it.
 */
export function networkError(
  requests: readonly LinkRequest[],
  interfaces: readonly NetworkInterface[],
  waitSeconds: number,
  failures: ReadonlyMap<string, string>,
): ReimageError {
  const choices = requests.map((request) => ({ request, ...chooseInterfaces(request, interfaces) }));
  const problems = choices.flatMap(({ problem }) => problem ?? []);
  const tried: NetworkInterface[] = [];
  const states = interfaces.flatMap((one) => {
    const about = choices.filter((choice) => choice.interfaces.includes(one));
    if (about.length === 0) return [`${describeInterface(one)} is there`];
    tried.push(one);
    return about.map(({ request }) => describeState(request, one, failures));
  });
  return new ReimageError("network", `no network within ${waitSeconds} s: ${[...problems, ...states].join("; ")}`, {
    hint: adviseOn(problems, tried, interfaces.length),
  });
}

function describeState(
  { vlan, method }: LinkRequest,
  one: NetworkInterface,
  failures: ReadonlyMap<string, string>,
): string {
  const description = describeInterface(one, vlan);
  const failure = failures.get(vlan?.name ?? one.name);
  if (failure !== undefined) return `${description} failed: ${failure}`;
  if (one.hasCarrier !== true) return `${description} has no carrier`;
  return `${description} has a carrier${method.kind === "dhcp" ? ", and no DHCP server answered" : ""}`;
}

function adviseOn(problems: readonly string[], tried: readonly NetworkInterface[], count: number): string {
  if (count === 0) {
    return "check that the machine has a wired network card; its driver may be missing in the initramfs (see lsmod, dmesg)";
  }
  if (problems.length > 0) {
    return "name one of the interfaces above in ip= on the kernel command line, by the kernel's name or by its MAC address";
  }
  if (tried.every((one) => one.hasCarrier !== true)) return "check the cable and the port of the switch";
  return "check the DHCP server and the VLAN of the port, or give an address on the kernel command line: ip=<client>::<gateway>:<netmask>::<interface>:none";
}
