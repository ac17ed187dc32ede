/** Addresses as text: IPv4, netmasks and the MAC addresses of network cards (pure). Everything is null where it is none. */

/** The 32 bits of a dotted IPv4 address. */
function parseBits(text: string): number | null {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => /^(0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) < 256)) {
    return null;
  }
  return octets.reduce((bits, octet) => bits * 256 + Number(octet), 0);
}

/** Whether `text` is an IPv4 address in four decimal numbers. */
export function isIpv4(text: string): boolean {
  return parseBits(text) !== null;
}

/** The prefix length of `24` or `255.255.255.0`: a netmask with a hole is none. */
export function parsePrefixLength(text: string): number | null {
  if (/^[0-9]{1,2}$/.test(text)) return Number(text) >= 1 && Number(text) <= 32 ? Number(text) : null;
  const bits = parseBits(text);
  if (bits === null || bits === 0) return null;
  const ones = bits.toString(2).padStart(32, "0");
  return /^1+0*$/.test(ones) ? ones.replaceAll("0", "").length : null;
}

/** Whether two IPv4 addresses are in the same network. */
export function areInSameNetwork(a: string, b: string, prefixLength: number): boolean {
  const hosts = 2 ** (32 - prefixLength);
  return Math.floor((parseBits(a) ?? Number.NaN) / hosts) === Math.floor((parseBits(b) ?? Number.NaN) / hosts);
}

/** A MAC address with colons or dashes, as Linux writes it: `52:54:00:12:34:56`. */
export function parseMac(text: string): string | null {
  return /^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(text) ? text.toLowerCase().replaceAll("-", ":") : null;
}
