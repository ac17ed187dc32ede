/** The words for a network that did not come up (pure). */
import { ReimageError } from "../errors.ts";
import type { LinkRequest } from "./network-arguments.ts";
import { chooseInterfaces, describeInterface, type NetworkInterface } from "./network-interfaces.ts";

/**
 * What each interface lacks, and what to do about it.
 * @param requests those that have no address yet.
 * @param failures by interface, what went wrong on it.
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
  const states = interfaces.map((one) => {
    const choice = choices.find((each) => each.interfaces.includes(one));
    const description = describeInterface(one);
    if (choice === undefined) return `${description} is there`;
    tried.push(one);
    const failure = failures.get(one.name);
    if (failure !== undefined) return `${description} failed: ${failure}`;
    if (one.hasCarrier !== true) return `${description} has no carrier`;
    return `${description} has a carrier${choice.request.method.kind === "dhcp" ? ", and no DHCP server answered" : ""}`;
  });
  return new ReimageError("network", `no network within ${waitSeconds} s: ${[...problems, ...states].join("; ")}`, {
    hint: adviseOn(problems, tried, interfaces.length),
  });
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
