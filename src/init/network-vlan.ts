/** `vlan=` of the kernel command line, spelt as dracut.cmdline(7) does (pure). */
import { Problem, parseInterface } from "./network-ip.ts";

/** An 802.1Q VLAN on a card. */
export interface Vlan {
  /** The name of its own interface, such as `vlan5` or `eth0.0005`. */
  readonly name: string;
  /** 1 to 4094. */
  readonly id: number;
}

/** What one `vlan=` says. */
export interface ParsedVlan extends Vlan {
  /** The argument itself, for messages. */
  readonly argument: string;
  /** The card that it is on, as it is written. */
  readonly device: string;
}

const NAME = /^(?:vlan|[a-z][a-z0-9_-]*\.)([0-9]+)$/i;
const MAX_NAME_LENGTH = 15; // of any interface of Linux: IFNAMSIZ

/** Whether an interface of this name has to be a VLAN: `vlan0005`, `vlan5`, `eth0.0005`, `eth0.5`. */
export function isVlanName(name: string): boolean {
  return NAME.test(name);
}

/**
 * `<vlanname>:<phydevice>`: the number at the end of the name is the id, with or without zeros before it. The device may be
 * a MAC address, as in `ip=`.
 * @throws Problem
 */
export function parseVlan(argument: string, value: string): ParsedVlan {
  const colon = value.indexOf(":");
  const name = value.slice(0, colon);
  if (colon < 1 || colon === value.length - 1) throw new Problem("expected vlan=<name>:<interface>");
  const digits = NAME.exec(name)?.[1];
  if (digits === undefined || name.length > MAX_NAME_LENGTH) {
    throw new Problem(
      `${JSON.stringify(name)} is not the name of a VLAN: expected vlan0005, vlan5, eth0.0005 or eth0.5`,
    );
  }
  const id = Number(digits);
  if (id < 1 || id > 4094) throw new Problem(`${id} is no VLAN: expected 1 to 4094`); // IEEE 802.1Q: 0 and 4095 are reserved
  const device = parseInterface(value.slice(colon + 1));
  if (isVlanName(device)) throw new Problem("a VLAN on a VLAN is not supported");
  return { argument, name, id, device };
}
