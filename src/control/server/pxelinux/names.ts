/** How things are called in the directories: pure. */
import { normalizeMac } from "../../protocol/identity.ts";

/** What a symbolic link is called until it is renamed into its place. One name: only one is made at a time. */
export const TEMPORARY_LINK = ".reimage-link";
/** The directory of the one-shot copies, below that of the configurations. */
export const ONE_SHOT_DIR = ".one-shot";
/** The same for a one-shot copy, in its own directory. */
export const TEMPORARY_COPY = ".new-copy";

/** The name that PXELINUX asks for first: `01` for Ethernet (RFC 1700), then the MAC address in lower case. */
export function linkName(mac: string): string {
  return `01-${mac.replaceAll(":", "-")}`;
}

/** The MAC address that a name in pxelinux.cfg stands for; null for any other name, and for upper case: nobody asks for it. */
export function macOfLinkName(name: string): string | null {
  const mac = name.startsWith("01-") ? normalizeMac(name.slice(3)) : null;
  return mac !== null && linkName(mac) === name ? mac : null;
}

/** One network boot of one machine that is to happen once. */
export interface OneShot {
  /** The first MAC of the machine, as `aa:bb:cc:dd:ee:ff`. */
  readonly mac: string;
  /** Which boot it is: whoever counts the boots down gives each one another name. */
  readonly bootId: string;
  readonly configuration: string;
}

/** Whether a boot can be called that: it becomes part of a file name. */
export function isBootId(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(text);
}

/** The file name of a one-shot copy. It holds all there is to know, so that it is found again after a crash. */
export function oneShotName({ mac, bootId, configuration }: OneShot): string {
  return `${linkName(mac)}@${bootId}@${configuration}`;
}

/** What `oneShotName` has put into a name; null for a name that it has not made. */
export function parseOneShotName(name: string): OneShot | null {
  const [link = "", bootId = "", configuration = "", ...rest] = name.split("@");
  const mac = macOfLinkName(link);
  if (mac === null || !isBootId(bootId) || configuration === "" || rest.length > 0) return null;
  return { mac, bootId, configuration };
}
