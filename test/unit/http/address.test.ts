import { describe, expect, test } from "bun:test";
import { besideEach, parseAddress, redirectedAddress } from "../../../src/http/address.ts";

describe("parseAddress", () => {
  test("takes the secrets out", () => {
    const address = parseAddress("https://kiosk:p%40ss@Host:8443/a%20b.img?sig=1#part");
    expect(address.url.href).toBe("https://host:8443/a%20b.img?sig=1");
    expect(address.authorization).toBe(`Basic ${btoa("kiosk:p@ss")}`);
    expect(address.name).toBe("https://host:8443/a%20b.img?<hidden>");
    expect(parseAddress("http://h/x")).toMatchObject({ authorization: null, name: "http://h/x" });
    expect(parseAddress("http://kiosk@h/x").authorization).toBe(`Basic ${btoa("kiosk:")}`);
  });

  test.each(["", "os.img", "ftp://h/x", "file:///etc/passwd", "http://s3cret%@h/x"])("%p is refused", (text) => {
    expect(() => parseAddress(text)).toThrow(/^(?!.*s3cret)an image's address is no http/);
  });
});

describe("redirectedAddress", () => {
  const from = parseAddress("https://kiosk:pass@h/dir/os.img");
  test.each<[string, string, boolean]>([
    ["/x", "https://h/x", true],
    ["x?y", "https://h/dir/x?y", true],
    ["https://h:443/x", "https://h/x", true],
    ["https://h:444/x", "https://h:444/x", false],
    ["//other/x", "https://other/x", false],
    ["https://a:b@other/x", "https://other/x", true],
  ])("%s", (location, href, isIdentified) => {
    const to = redirectedAddress(from, location);
    expect([to.url.href, to.authorization !== null]).toEqual([href, isIdentified]);
  });

  test.each<[string | null, string]>([
    [null, "does not say where to"],
    ["http://", "does not say where to"],
    ["http://h/x", "from https to http"],
    ["file:///etc/shadow", "no web server (file:)"],
    ["data:,x", "no web server (data:)"],
  ])("%p is refused", (location, message) => expect(() => redirectedAddress(from, location)).toThrow(message));

  test("http may lead to https", () => {
    expect(redirectedAddress(parseAddress("http://h/x"), "https://h/x").name).toBe("https://h/x");
  });
});

test("besideEach puts the suffix behind the path, before the query", () => {
  expect(besideEach(["https://u:p@h/os.img?sig=1", "http://h/a%20b"], ".manifest.json")).toEqual([
    "https://u:p@h/os.img.manifest.json?sig=1",
    "http://h/a%20b.manifest.json",
  ]);
});
