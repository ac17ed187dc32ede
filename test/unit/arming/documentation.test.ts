/** Holds docs/lifeboat.md and the help texts to what `arm`, `disarm` and `status` do. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultStateDir } from "../../../src/arming/kept-note.ts";
import { armCommand } from "../../../src/commands/arm.ts";
import { parseArmOptions } from "../../../src/commands/arm-options.ts";
import { disarmCommand } from "../../../src/commands/disarm.ts";
import { statusCommand } from "../../../src/commands/status.ts";
import { bootLayout } from "../../../src/lifeboat/layout.ts";
import { lifeboatStates } from "../../../src/lifeboat/record.ts";
import { oneShotMethods } from "../../../src/one-shot/request.ts";

const text = readFileSync(join(import.meta.dir, "../../../docs/lifeboat.md"), "utf8");
const optionsOf = (usage: string) => [...usage.matchAll(/^ {2}--([a-z-]+)( [A-Za-z])?/gm)];

/** The complaint about a command line; most end with the configuration that is not there, which is late enough here. */
function complaint(args: readonly string[]): string {
  try {
    parseArmOptions(args);
  } catch (error) {
    return String(error);
  }
  return "";
}

describe("the options of arm", () => {
  const options = optionsOf(armCommand.usage);

  test("--help names none that is unknown", () => {
    expect(options.length).toBeGreaterThan(10);
    for (const [, name = "", value] of options) {
      const args = value === undefined ? [`--${name}`] : [`--${name}`, "x=1"];
      expect(complaint(args)).not.toMatch(/unknown option|does not take an argument|argument missing/i);
    }
    expect(complaint(["--no-such-option"])).toMatch(/unknown option/i);
  });

  test("the document has each of them, and no other", () => {
    const [, section = ""] = /### The options of `arm`\n([\s\S]*?)\n## /.exec(text) ?? [];
    const documented = [...section.matchAll(/^\| `--.*?\|/gm)].flatMap(([cell]) =>
      [...cell.matchAll(/--([a-z-]+)/g)].map((match) => match[1] ?? ""),
    );
    expect(documented.toSorted()).toEqual(options.map((match) => match[1] ?? "").toSorted());
  });

  test("where the note is, is the same everywhere", () => {
    for (const { usage } of [armCommand, disarmCommand, statusCommand]) expect(usage).toContain(defaultStateDir);
    expect(text).toContain(defaultStateDir);
  });
});

describe("docs/lifeboat.md", () => {
  test("has every method of booting once, in the order in which they are tried", () => {
    const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (?!.*`--)/gm)].map((match) => match[1] ?? "");
    expect(rows.filter((name) => oneShotMethods.some((method) => method === name))).toEqual([...oneShotMethods]);
  });

  test("has every state but the one that is no step of a run", () => {
    for (const state of lifeboatStates) {
      if (state !== "abandoned") expect(text.includes(`\`${state}\``) ? state : `no ${state}`).toBe(state);
    }
  });

  test("the way back by hand finds record and old sector where they are", () => {
    const inSectors = (bytes: number) => bytes / 512;
    const volume = inSectors(bootLayout.volume);
    expect(text).toContain(
      `skip=$((P - ${volume} + ${inSectors(bootLayout.records[0])})) count=${inSectors(2 * bootLayout.recordBytes)} `,
    );
    expect(bootLayout.records[1] - bootLayout.records[0]).toBe(bootLayout.recordBytes);
    expect(text).toContain(
      `skip=$((P - ${volume} + ${inSectors(bootLayout.oldHead)})) count=1 of=old-sector        # with a GPT: ${inSectors(bootLayout.oldHead) + 1}`,
    );
    expect(text).toContain(`${bootLayout.oldHead >> 10} KiB behind its beginning`);
  });
});
