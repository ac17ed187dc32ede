import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { configKeys } from "../../../src/config/keys.ts";
import { resolveConfig } from "../../../src/config/resolve.ts";
import { TARGET_PROPERTIES } from "../../../src/config/target-selector.ts";

const text = readFileSync(join(import.meta.dir, "../../../docs/configuration.md"), "utf8");
const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");
const documented = [...text.matchAll(/^\| `([^`]+)` \| ([^|]+) \|/gm)].map(
  (match) => [match[1] ?? "", match[2] ?? ""] as const,
);
const [leastExample = ""] = examples;

describe("docs/configuration.md", () => {
  test("its table of keys holds every key of the schema and no other, and every property of the target", () => {
    const keys = documented.map(([key]) => key);
    expect(keys.filter((key) => !key.endsWith("=")).toSorted()).toEqual([...configKeys.keys()].toSorted());
    expect(keys.filter((key) => key.endsWith("=")).toSorted()).toEqual(
      TARGET_PROPERTIES.map((name) => `${name}=`).toSorted(),
    );
  });

  test("there are examples, and between them they set the keys", () => {
    expect(examples.length).toBe(5);
    for (const key of configKeys.keys()) {
      const isWeb = /^image\.(mirrors|ca|timeoutSeconds|stallSeconds)$/.test(key);
      const isAsking = /^control\.(tokenFile|ca|decides|machine|timeoutSeconds)$/.test(key);
      const example = examples[isWeb ? 3 : isAsking ? 4 : 1];
      if (key !== "image.manifest") expect(example).toContain(`${key.slice(key.lastIndexOf(".") + 1)}:`);
    }
  });

  test.each(examples)("example %# resolves", (example) => {
    expect(() => resolveConfig(example, "the example", [])).not.toThrow();
  });

  test("the defaults are what it says", () => {
    const least: object = resolveConfig(leastExample, "the example", []);
    const withControl: object = resolveConfig(`${leastExample}control: { url: http://x }\n`, "the example", []);
    let compared = 0;
    for (const [key, column] of documented) {
      const config = key.startsWith("control.") ? withControl : least;
      const value = key.split(".").reduce<unknown>((node, name) => Object(node)[name], config);
      if (column.startsWith("none")) expect([key, value]).toEqual([key, undefined === value ? undefined : null]);
      if (!/^`[^`<]+`$/.test(column) || key === "target.disk") continue;
      expect([key, value]).toEqual([key, Bun.YAML.parse(column.slice(1, -1))]);
      compared += 1;
    }
    expect(compared).toBe(16);
  });
});
