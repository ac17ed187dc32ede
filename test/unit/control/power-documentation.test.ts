/** Holds docs/power.md to what the program does. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { powerActions } from "../../../src/control/protocol/power.ts";
import { parseHostsFile } from "../../../src/control/server/hosts-file.ts";
import { powerAdapterSchema } from "../../../src/control/server/power/adapter.ts";
import { powerPresets } from "../../../src/control/server/power/presets.ts";

const text = readFileSync(join(import.meta.dir, "../../../docs/power.md"), "utf8");
const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");

describe("docs/power.md", () => {
  test.each(examples)("example %# loads, and its machines have all their adapter needs", (example) => {
    const { machines } = parseHostsFile(example, "docs/power.md", () => ({ problem: "no file is read here" }));
    expect(machines).toHaveLength(1);
    expect(machines?.[0]?.power).toBeDefined();
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
