import { describe, expect, test } from "bun:test";
import { describeConfig } from "../../../src/config/describe.ts";
import { resolveConfig } from "../../../src/config/resolve.ts";
import type { Config } from "../../../src/config/schema.ts";

const url = "https://images.example/os.img";

function resolve(...lines: string[]): Config {
  const image = lines.map((line) => `  ${line}`).join("\n");
  return resolveConfig(`image:\n${image}\nold: { root: LABEL=root }\nnew: { root: 2 }\n`, "reimage.yaml", []);
}

describe("an image on a web server", () => {
  test("every key", () => {
    const mirrors = ["http://two.example/os.img", "https://three.example:8443/a/os.img?x=1"];
    const config = resolve(
      `source: ${url}`,
      `mirrors: [${mirrors.map((each) => JSON.stringify(each)).join(", ")}]`,
      "ca: /etc/reimage/ca.pem",
      "timeoutSeconds: 5",
      "stallSeconds: 60",
    );
    expect(config.image).toMatchObject({ mirrors, ca: "/etc/reimage/ca.pem", timeoutSeconds: 5, stallSeconds: 60 });
  });

  test("mirrors can be set on the kernel command line", () => {
    const override = { key: "image.mirrors", value: "[https://two.example/os.img]", origin: "the kernel command line" };
    const file = `image: { source: "${url}" }\nold: { root: LABEL=root }\nnew: { root: 2 }\n`;
    expect(resolveConfig(file, "x", [override]).image.mirrors).toEqual(["https://two.example/os.img"]);
  });

  test.each([
    [
      ["source: LABEL=data:/os.img", `mirrors: ["${url}"]`],
      "line 3: image.mirrors needs an image.source that is an http(s) URL",
    ],
    [[`source: ${url}`, "mirrors: [LABEL=data:/os.img]"], "line 3: image.mirrors.0: expected an http(s) URL"],
    [[`source: ${url}`, 'mirrors: ["ftp://two.example/os.img"]'], "image.mirrors.0: expected an http(s) URL"],
    [[`source: ${url}`, `mirrors: ${url}`], "image.mirrors: expected a list of http(s) URLs"],
    [[`source: ${url}`, `mirrors: ["${url}"]`], `image.mirrors: ${url} is there already`],
    [["source: http://one.example/os.img", "ca: /ca.pem"], "line 3: image.ca is for https"],
    [[`source: ${url}`, "ca: ca.pem"], 'image.ca: "ca.pem" is not an absolute path'],
    [[`source: ${url}`, "timeoutSeconds: 0"], "image.timeoutSeconds: must be at least 1"],
    [
      [`source: ${url}`, "timeoutSeconds: 60", "stallSeconds: 59"],
      "image.stallSeconds (59) is less than image.timeoutSeconds (60)",
    ],
    [
      [`source: ${url}`, "stallSeconds: 600"],
      "image.stallSeconds (600) must be less than watchdog.stallSeconds (600): the watchdog would reset the machine",
    ],
    [[`source: ${url}`, "mirror: []"], "unknown key image.mirror; did you mean image.mirrors?"],
  ])("%p is refused", (lines, message) => expect(() => resolve(...lines)).toThrow(message));

  test("a long wait without a watchdog, and for an image on a disk", () => {
    const text = (source: string, enabled: boolean) =>
      `image: { source: "${source}", stallSeconds: 5000 }\nold: { root: LABEL=root }\nnew: { root: 2 }\nwatchdog: { enabled: ${enabled} }\n`;
    for (const file of [text(url, false), text("LABEL=data:/os.img", true)]) {
      expect(resolveConfig(file, "x", []).image.stallSeconds).toBe(5000);
    }
  });

  test("passwords are shown neither in the description nor in messages", () => {
    const secret = "https://kiosk:s3cret@images.example/os.img?token=s3cret";
    const config = resolve(`source: ${url}`, `mirrors: ["${secret}"]`);
    expect(describeConfig(config)).toContain('image.mirrors: ["https://<hidden>@images.example/os.img?<hidden>"]');
    expect(() => resolve(`source: ${secret}`, `mirrors: ["${secret}"]`)).toThrow(/^(?!.*s3cret).*is there already/);
  });
});
