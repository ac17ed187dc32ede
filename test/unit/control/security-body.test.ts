/** What is looked at in a body before anything is made of it. */
import { expect, test } from "bun:test";
import { isNestedDeeper, readBody, withoutNul } from "../../../src/control/server/security/request-body.ts";

const request = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  new Request("http://x/", { method: "POST", body, headers });

test.each([
  ["[".repeat(5), 4, true],
  ["[".repeat(4), 4, false],
  ['{"a":'.repeat(5), 4, true],
  ["[[],[],[],[],[],[]]", 2, false],
  ['"[[[[[[["', 2, false],
  ['"\\"[[[[[["', 2, false],
  ['"\\\\"[[[[', 2, true],
  ['["[", "]", "\\u005b"]', 2, false],
  ["]]]]]][[[[", 4, false],
  ['"[[[[[[', 2, false],
])("nesting of %s beyond %d: %p", (text, most, expected) => {
  expect(isNestedDeeper(text, most)).toBe(expected);
});

test.each([
  ['"\\u0000"', '"\\ufffd"', true],
  ['"\\\\u0000"', '"\\\\u0000"', false],
  ['"\\\\\\u0000"', '"\\\\\\ufffd"', true],
  ['{"a\\u0000b":"\\u00000"}', '{"a\\ufffdb":"\\ufffd0"}', true],
  ['"\\u0001\\n\\ud800"', '"\\u0001\\n\\ud800"', false],
])("NUL in %s", (text, clean, found) => {
  expect(withoutNul(text)).toEqual({ clean, found });
});

test("a body that is refused says why", async () => {
  const refused = (body: string | Uint8Array<ArrayBuffer>, isMachine = false) =>
    readBody(request(body), 100, isMachine);
  await expect(refused("x".repeat(101))).rejects.toMatchObject({ code: "too-large" });
  await expect(refused(new Uint8Array([0x22, 0xff, 0x22]))).rejects.toMatchObject({ code: "invalid" });
  await expect(refused("[".repeat(70))).rejects.toMatchObject({ code: "invalid" });
  await expect(refused('"\\u0000"')).rejects.toMatchObject({ code: "invalid" });
  expect(await refused('"\\u0000"', true)).toBe('"\\ufffd"');
  expect(await refused("x".repeat(100))).toBe("x".repeat(100));
  expect(await refused("\ufeff1")).toBe("1");
});

test("a body without a length is measured while it is read, and read no further than that", async () => {
  let given = 0;
  const endless = new ReadableStream({
    pull(controller) {
      given += 1;
      controller.enqueue(new Uint8Array(1000).fill(0x20));
    },
  });
  const sent = new Request("http://x/", { method: "POST", body: endless });
  expect(sent.headers.has("content-length")).toBe(false);
  await expect(readBody(sent, 5000, false)).rejects.toMatchObject({ code: "too-large" });
  expect(given).toBeLessThan(20);
});
