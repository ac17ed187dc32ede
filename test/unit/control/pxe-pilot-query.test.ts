/** The body of PXE Pilot's deploy request. */
import { expect, test } from "bun:test";
import { parseDeployQuery } from "../../../src/control/server/facades/pxe-pilot/deploy-query.ts";

const one = (host: unknown) => parseDeployQuery(JSON.stringify({ hosts: [host] })).hosts[0];

test("keys in any spelling, MACs in any spelling", () => {
  for (const key of ["macAddress", "mac_address", "MAC", "MacAddress", "mac", "macaddress"]) {
    for (const mac of ["23:34:a3:e9:09:cc", "23-34-A3-E9-09-CC", "2334a3e909cc", "2334.A3E9.09cc"]) {
      expect(one({ [key]: mac })).toMatchObject({ name: null, mac: "23:34:a3:e9:09:cc", reboot: false });
    }
  }
});

test("what is left out, null or empty is the same", () => {
  const nothing = { name: null, mac: null, reboot: false, hasConfiguration: false };
  for (const host of [
    {},
    { name: null, macAddress: null, reboot: null, configuration: null },
    { name: "", macAddress: "", configuration: "" },
  ]) {
    expect(one(host)).toEqual(nothing);
  }
  expect(parseDeployQuery("{}")).toEqual({ hosts: [], boots: null, afterwards: null });
});

test("a MAC that is none is kept, to be told of", () => {
  expect(one({ macAddress: "nonsense" })?.mac).toBe("nonsense");
});

test.each([
  "",
  "x",
  "[]",
  "null",
  '"hosts"',
  '{"hosts": {}}',
  '{"hosts": [1]}',
  '{"hosts": [[]]}',
  '{"hosts": [{"name": 1}]}',
  '{"hosts": [{"reboot": "yes"}]}',
  '{"hosts": [{"macAddress": {}}]}',
  '{"boots": 0}',
  '{"boots": 1.5}',
  '{"boots": "1"}',
  '{"boots": 1001}',
  '{"afterwards": 1}',
])("refused: %s", (text) => {
  expect(() => parseDeployQuery(text)).toThrow(expect.objectContaining({ code: "invalid" }));
});
