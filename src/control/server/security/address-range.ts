/** Address ranges, as `10.0.0.0/8`, `fd00::/8` or one address. */
import ipaddr from "ipaddr.js";
import { ReimageError } from "../../../errors.ts";

export interface AddressRange {
  readonly text: string;
  contains(address: string): boolean;
}

/** @throws ReimageError `config` */
export function parseAddressRange(text: string): AddressRange {
  try {
    const isRange = text.includes("/");
    const bare = text.replace(/\/.*$/, "");
    // Not `10/8`, which is 0.0.0.10, nor numbers that are octal to some.
    if (!ipaddr.IPv4.isValidFourPartDecimal(bare) && !ipaddr.IPv6.isValid(bare)) throw new Error("no address");
    const address = isRange ? null : ipaddr.process(text);
    const [network, bits] = address === null ? ipaddr.parseCIDR(text) : [address, address.kind() === "ipv4" ? 32 : 128];
    return {
      text,
      contains(candidate) {
        if (!ipaddr.isValid(candidate)) return false;
        const parsed = ipaddr.process(candidate); // an IPv4 address in IPv6 clothes is an IPv4 address
        return parsed.kind() === network.kind() && parsed.match(network, bits);
      },
    };
  } catch (cause) {
    throw new ReimageError("config", `${JSON.stringify(text)} is no address range`, {
      cause,
      hint: "write it as 192.168.7.0/24, fd00::/8 or a single address",
    });
  }
}
