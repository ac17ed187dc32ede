/** Where a request comes from, and what ranges hold. */
import { expect, test } from "bun:test";
import { parseAddressRange } from "../../../src/control/server/security/address-range.ts";
import { clientAddress } from "../../../src/control/server/security/client-address.ts";
import { refusalOf } from "../../support/refusal-of.ts";

const proxies = [parseAddressRange("10.0.0.0/24"), parseAddressRange("fd00::/64")];

const cases: [string, string | null, string | null, string | null][] = [
  ["no proxy: the header is not looked at", "192.0.2.1", "203.0.113.9", "192.0.2.1"],
  ["a proxy tells its caller", "10.0.0.1", "203.0.113.9", "203.0.113.9"],
  ["what the caller told before that is not believed", "10.0.0.1", "1.1.1.1, 10.0.0.7, 203.0.113.9", "203.0.113.9"],
  ["two proxies in a row", "10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"],
  ["a caller who says that he is a proxy", "10.0.0.1", "10.0.0.9, 203.0.113.9", "203.0.113.9"],
  ["a proxy that says nothing", "10.0.0.1", null, "10.0.0.1"],
  ["a proxy that says nothing either", "10.0.0.1", "10.0.0.2", "10.0.0.2"],
  ["rubbish", "10.0.0.1", "unknown", "10.0.0.1"],
  ["rubbish before a hop", "10.0.0.1", "<script>, 203.0.113.9", "203.0.113.9"],
  ["empty hops", "10.0.0.1", ", ,", "10.0.0.1"],
  ["a number that is no address", "10.0.0.1", "12345", "10.0.0.1"],
  ["with a port", "10.0.0.1", "203.0.113.9:4711", "203.0.113.9"],
  ["IPv6 with a port", "fd00::1", "[2001:db8::1]:4711", "2001:db8::1"],
  ["IPv4 in IPv6 clothes", "::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"],
  ["a peer that is not known", null, "203.0.113.9", null],
];

test.each(cases)("%s", (_, peer, header, expected) => {
  expect(clientAddress(peer, header, proxies)).toBe(expected);
});

test("without trusted proxies the header means nothing", () => {
  expect(clientAddress("10.0.0.1", "203.0.113.9", [])).toBe("10.0.0.1");
});

test.each([
  ["192.168.7.0/24", "192.168.7.255", true],
  ["192.168.7.0/24", "192.168.8.0", false],
  ["192.168.7.0/24", "::ffff:192.168.7.3", true],
  ["192.168.7.9", "192.168.7.9", true],
  ["192.168.7.9", "192.168.7.8", false],
  ["fd00::/8", "fd12::1", true],
  ["fd00::/8", "fe80::1", false],
  ["0.0.0.0/0", "2001:db8::1", false],
  ["192.168.7.0/24", "", false],
  ["192.168.7.0/24", "192.168.7.3 ", false],
])("%s and %s: %p", (range, address, isIn) => {
  expect(parseAddressRange(range).contains(address)).toBe(isIn);
});

test.each(["", "192.168.7.0/33", "192.168.7.0/", "fd00::/129", "everyone", "10.0.0.0/8/8", "10/8", "010.0.0.1", "1"])(
  "%p is no range",
  async (text) => {
    expect(await refusalOf((async () => parseAddressRange(text))())).toMatchObject({ code: "config" });
  },
);
