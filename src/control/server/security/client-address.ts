/** Where a request comes from, also behind a load balancer. */
import ipaddr from "ipaddr.js";
import type { AddressRange } from "./address-range.ts";

/**
 * The address that counts for limits, facades and the audit (pure): the last hop that is not one of ours. Each proxy adds
 * at the end of X-Forwarded-For whom it was called by; what stands before that was told by the caller, who may lie.
 * @param peer the other end of the connection.
 * @param forwardedFor the header; counted only where the peer is a trusted proxy.
 */
export function clientAddress(
  peer: string | null,
  forwardedFor: string | null,
  trustedProxies: readonly AddressRange[],
): string | null {
  const isTrusted = (address: string) => trustedProxies.some((range) => range.contains(address));
  let last = peer === null ? null : normalAddress(peer);
  const hops = (forwardedFor ?? "").split(",").map((hop) => hop.trim());
  while (last !== null && isTrusted(last)) {
    const next = normalAddress(hops.pop() ?? "");
    if (next === null) break; // the proxy says nothing that can be understood: then it is the proxy itself
    last = next;
  }
  return last;
}

/** Null for what is no address; without port and brackets; an IPv4 address in IPv6 clothes as an IPv4 address. */
function normalAddress(text: string): string | null {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare);
  return isAddress ? ipaddr.process(bare).toString() : null;
}
