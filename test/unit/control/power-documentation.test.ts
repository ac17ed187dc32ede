/** Holds docs/power.md to what the program does. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { powerActions, powerAdapterSchema, variableProblems } from "../../../src/control/server/power/adapter.ts";
import { powerPresets } from "../../../src/control/server/power/presets.ts";

const text = readFileSync(join(import.meta.dir, "../../../docs/power.md"), "utf8");
const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");

const fileSchema = z.strictObject({
  powerAdapters: z.array(powerAdapterSchema).default([]),
  hosts: z.array(
    z.object({
      id: z.string(),
      power: z.strictObject({ adapter: z.string(), variables: z.record(z.string(), z.string()) }),
    }),
  ),
});

describe("docs/power.md", () => {
  test.each(examples)("example %# loads, and its machines have all their adapter needs", (example) => {
    const file = fileSchema.parse(Bun.YAML.parse(example));
    const adapters = [...Object.values(powerPresets), ...file.powerAdapters];
    expect(file.hosts).toHaveLength(1);
    for (const { id, power } of file.hosts) {
      const adapter = adapters.find(({ name }) => name === power.adapter);
      if (adapter === undefined) throw new Error(`${power.adapter} is no adapter`);
      expect(variableProblems(adapter, { ...power.variables, machine: id })).toEqual([]);
    }
  });

  test("it has both examples, names every action, preset and key, and the defaults", () => {
    expect(examples).toHaveLength(2);
    const { name, ...keys } = powerAdapterSchema.parse({ name: "a", commands: {} });
    for (const word of [...powerActions, ...Object.keys(powerPresets), ...Object.keys(keys)]) {
      expect(text).toContain(`\`${word}\``);
    }
    expect(text).toContain(`${keys.timeoutSeconds} by default`);
    expect(text).toContain(`${keys.retries} by default`);
    for (const preset of Object.values(powerPresets)) expect(text).toContain(`${preset.defaults.port} unless`);
  });
});
