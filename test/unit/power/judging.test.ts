/** What the sweep makes of what a machine said, and of what it wrote. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { historyOf } from "../../../scripts/power/crash-states.ts";
import { placeTable } from "../../../scripts/power/document.ts";
import { formatMutantTable } from "../../../scripts/power/mutant-table.ts";
import { applyChange, mutants } from "../../../scripts/power/mutants.ts";
import { phasesOf } from "../../../scripts/power/phases.ts";
import type { Result } from "../../../scripts/power/results.ts";
import { parseSweepOptions } from "../../../scripts/power/sweep-options.ts";
import { formatTable } from "../../../scripts/power/table.ts";
import { judgeSerial } from "../../../scripts/power/verdict.ts";
import { encodeRecord, firstRecord, type LifeboatState } from "../../../src/lifeboat/record.ts";

const [mine, other] = ["a".repeat(64), "b".repeat(64)];

describe("a machine", () => {
  const comesUp = (system: string, identity = mine) =>
    `small-os: swap 1\nsmall-os: ${system} identity ${identity}\nsmall-os: poweroff\n`;
  const judge = (serial: string, how: "off" | "time" = "off") => judgeSerial({ how, serial }, mine);

  test("that ends in its old or its new system, with its identity, is alive", () => {
    expect(judge(comesUp("old"))).toEqual({ outcome: "old", reason: null, boots: ["old"], hasSwap: true });
    const full = judge(`reimage 0.3.0\n[save] begins\nreimage 0.3.0\n${comesUp("new")}`);
    expect(full).toEqual({ outcome: "new", reason: null, boots: ["lifeboat", "lifeboat", "new"], hasSwap: null });
  });

  test.each([
    ["another identity", comesUp("new", other), "off"],
    ["another identity", comesUp("old") + comesUp("new", other), "off"],
    ["nothing had come up", "SeaBIOS\n", "off"],
    ["in the lifeboat", `${comesUp("old")}reimage 0.3.0\n`, "off"],
    ["did not end by itself", comesUp("new"), "time"],
    ["did not end as it should", `small-os: old identity ${mine}\n`, "off"],
    [
      "could not be unmounted",
      comesUp("new").replace("small-os: poweroff", "x cannot be made read-only\nsmall-os: poweroff"),
      "off",
    ],
  ] as const)("is dead: %s", (reason, serial, how) => {
    const verdict = judge(serial, how);
    expect(verdict.outcome).toBe("dead");
    expect(verdict.reason).toContain(reason);
  });
});

test("the phases of a run are those that the lifeboat's record says, between the two writes of the switch", () => {
  const uuid = "01234567-89ab-cdef-0123-456789abcdef";
  const record = (state: LifeboatState) => encodeRecord({ ...firstRecord(uuid), state });
  const nothing = Buffer.alloc(512);
  const steps: [number, Buffer][] = [
    [900, record("armed")],
    [0, nothing],
    [900, record("saved")],
    [901, record("writing")],
    [5, nothing],
    [900, record("restored")],
    [0, nothing],
    [7, nothing],
  ];
  const entries = steps.flatMap(([sector, data]) => {
    const common = { fua: false, discard: false, mark: false, dataOffsetBytes: 0 };
    return [
      { ...common, offsetBytes: sector * 512, lengthBytes: data.length, flush: false },
      { ...common, offsetBytes: 0, lengthBytes: 0, flush: true },
    ];
  });
  const history = historyOf({ sectorSizeBytes: 512, entries });
  const found = phasesOf(history, (write) => steps[write]?.[1] ?? nothing, 0);
  expect(found).toEqual(
    // a record counts once it is written for good: a cut while it is written belongs to the state before
    ["arming", "switching", "armed", "saved", "writing", "writing", "commit", "new system", "new system"],
  );
});

describe("mutants", () => {
  test("fit the sources as they are", () => {
    expect(mutants.length).toBeGreaterThan(3);
    for (const { changes, control } of mutants) {
      for (const change of [...changes, ...(control ?? [])]) {
        const content = readFileSync(change.file, "utf8");
        expect(applyChange(content, change)).not.toBe(content);
      }
    }
  });

  test("change one place, and nothing where it is not clear which", () => {
    const change = { file: "x.ts", find: "b", replace: "$&" };
    expect(applyChange("abc", change)).toBe("a$&c");
    expect(() => applyChange("abcb", change)).toThrow("2 times");
    expect(() => applyChange("ac", change)).toThrow("0 times");
  });
});

describe("options", () => {
  const names = (...args: string[]) =>
    parseSweepOptions(args).scenarios.map(
      ({ firmware, place, sectorSizeBytes }) => `${firmware} ${place} ${sectorSizeBytes}`,
    );

  test("choose scenarios", () => {
    expect(names("--firmware", "bios")).toEqual(["bios gap 512", "bios swap 512", "bios file 512"]);
    expect(names("--sector", "4096")).toEqual(["uefi gap 4096"]);
    expect(names("--place", "file")).toEqual(["bios file 512", "uefi file 512"]);
    expect(names("--system", "debian")).toEqual(["bios file 512"]);
  });

  test("all mutants run on one scenario", () => {
    const { scenarios } = parseSweepOptions(["--firmware", "uefi", "--mutant", "all"]);
    expect(scenarios.map(({ mutant }) => mutant)).toEqual(mutants.map(({ name }) => name));
    expect(new Set(scenarios.map(({ firmware, place }) => `${firmware} ${place}`)).size).toBe(1);
  });

  test.each([
    [["--firmware", "bios", "--sector", "4096"], "no such scenario"],
    [["--states", "0"], "--states"],
    [["--shard", "3/2"], "--shard"],
    [["--phase", "sleeping"], "--phase"],
  ])("%p make no sense", (args, message) => {
    expect(() => parseSweepOptions(args)).toThrow(message);
  });
});

const result = (
  id: string,
  outcome: Result["outcome"],
  phase: Result["phase"],
  mutant: string | null = null,
): Result => ({
  scenario: { system: "small", firmware: "bios", place: "gap", sectorSizeBytes: 512, mutant },
  ...{ recording: "r", seed: 1 },
  ...{ id, outcome, phase, reason: null, boots: [], hasSwap: null, variables: "before", start: "reset" },
  ...{ seconds: 1, cpuSeconds: 1, commit: "c0ffee0", date: "2026-11-21T00:00:00Z" },
});

test("the table counts every state once, and shows the dead", () => {
  const results = [
    result("1.none", "old", "arming"),
    result("1.none", "old", "arming"),
    result("7.all", "new", "writing"),
    result("8.all", "dead", "writing"),
    result("9.all", "dead", "writing", "commit-before-body"),
  ];
  const table = formatTable(results);
  expect(table).toContain("| bios | gap | 512 | 1 / 0 | 0 / 0 | 0 / 0 | 0 / 0 | 0 / 1 / **1 dead** |");
  expect(table).toContain("3 states, all different: 1 came up in the old system, 1 in the new one, 1 were dead.");
  const text = "# Cuts\n<!-- sweep: begin (made by scripts/power/table.ts) -->\nold\n<!-- sweep: end -->\nend\n";
  expect(placeTable(text, "sweep", "T")).toBe(text.replace("old", "T"));
  expect(() => placeTable("# Cuts\n", "sweep", "T")).toThrow("lacks the lines");
});

test("a mutant that nothing has caught stands out", () => {
  const table = formatMutantTable([
    result("5.none", "new", "writing", "commit-before-body"),
    result("6.none", "dead", "writing", "commit-before-body"),
    result("5.none", "new", "writing", "record-in-one-copy"),
  ]);
  expect(table).toMatch(/^\| commit-before-body \|.*\| 6\.none \| 2 \|/m);
  expect(table).toMatch(/^\| record-in-one-copy \|.*\| \*\*not caught\*\* \| 1 \|/m);
  expect(table.split("\n")).toHaveLength(2 + mutants.length);
});
