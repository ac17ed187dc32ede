/** The command line of the endpoint, as far as it needs no endpoint. */
import { describe, expect, test } from "bun:test";
import { formatLine } from "../../../src/commands/fleet/events.ts";
import { fleetCommand } from "../../../src/commands/fleet/fleet.ts";
import { fleetCommands } from "../../../src/commands/fleet/fleet-run.ts";
import { commonOptions, parseFleet } from "../../../src/commands/fleet/options.ts";
import { formatTable, harmlessJson } from "../../../src/commands/fleet/output.ts";
import { pickMachine } from "../../../src/control/fleet-client/machines.ts";
import type { MachineSummary } from "../../../src/control/protocol/machine.ts";
import { powerActions } from "../../../src/control/protocol/power.ts";

const machine = (n: number, facts: Partial<MachineSummary> = {}): MachineSummary => ({
  id: `4c4c4544-0000-0000-0000-00000000000${n}`,
  name: `kiosk-${n}`,
  state: "approved",
  macs: [`52:54:00:00:00:0${n}`],
  serial: null,
  locked: false,
  imageId: null,
  configuration: "local",
  reinstall: null,
  run: null,
  lastSeenAt: null,
  ...facts,
});

describe("a machine", () => {
  const fleet = [machine(1), machine(2), machine(3, { name: null }), machine(4, { name: "525400000001" })];

  test.each([
    ["kiosk-2", 2],
    ["4C4C4544-0000-0000-0000-000000000003", 3],
    ["52-54-00-00-00-02", 2],
    ["5254.0000.0003", 3],
    ["525400000004", 4],
  ])("%s is found by id, name, or MAC in any spelling", (reference, n) => {
    expect(pickMachine(reference, fleet).id).toBe(machine(n).id);
  });

  test("that a name only begins with is not meant", () => {
    expect(() => pickMachine("kiosk", fleet)).toThrow('there is no machine "kiosk"');
    expect(() => pickMachine("KIOSK-1", fleet)).toThrow("there is no machine");
    expect(() => pickMachine("", fleet)).toThrow("there is no machine");
  });

  test("is not guessed where the name of one is the MAC of another", () => {
    expect(() => pickMachine("525400000001", fleet)).toThrow(
      `means several machines: ${machine(1).id}, ${machine(4).id}`,
    );
    expect(pickMachine("52:54:00:00:00:01", [machine(1), machine(1)]).id).toBe(machine(1).id);
  });
});

describe("a table", () => {
  const head = ["MACHINE", "DOING"];
  const rows = [
    ["kiosk-1", "writing the image and much more than would fit"],
    ["k", ""],
  ];

  test("stays whole where there is no terminal", () => {
    expect(formatTable(head, rows, null)).toBe(
      "MACHINE  DOING\nkiosk-1  writing the image and much more than would fit\nk\n",
    );
    expect(formatTable(head, [], null)).toBe("MACHINE  DOING\n");
  });

  test.each([12, 20, 30, 54, 55, 80])("fits a terminal of %i columns", (columns) => {
    const lines = formatTable(head, [...rows, ["端末端末端末端末", "端末端末端末端末端末端末"]], columns)
      .trimEnd()
      .split("\n");
    expect(lines).toHaveLength(4);
    for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(Math.max(columns, 14));
    if (columns < 54) expect(lines[1]).toContain("…");
  });

  test("holds nothing that a terminal obeys, and no line of its own making", () => {
    const table = formatTable(head, [["\x1b[31mred\x1b[0m\x07", "one\ntwo\rthree\u202eexe\x9b1m\tx"]], null);
    expect(table).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    expect(table.split("\n")).toHaveLength(3);
    expect(table).toContain("red");
  });
});

test("JSON means the same, without what a terminal obeys", () => {
  const value = { a: "\x9b31m\u202e\x7f\u2028plain ü", b: "\x1b[1m" };
  const text = harmlessJson(JSON.stringify(value));
  expect(JSON.parse(text)).toEqual(value);
  expect(text).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e\u2028]/);
  expect(text).toContain("plain ü");
  expect(harmlessJson('{"a": 1.0}')).toBe('{"a": 1.0}');
});

test("a line of a log says when, where and what; what has lines of its own is indented", () => {
  const line = { seq: 1, time: "14:03:22", kind: "warning", stage: "write", text: "one\ntwo" } as const;
  expect(formatLine(line)).toBe(`14:03:22 write   warning: one\n${" ".repeat(17)}two`);
  expect(formatLine({ ...line, kind: "step", stage: "", text: "x" })).toBe("14:03:22         x");
});

describe("the command line", () => {
  test("options may stand before and behind the command", () => {
    const parsed = parseFleet(
      ["--server", "http://x", "reinstall", "a", "--image", "os", "b", "--json"],
      fleetCommands,
    );
    expect(parsed).toMatchObject({
      name: "reinstall",
      words: ["a", "b"],
      values: { server: "http://x", image: "os", json: true },
    });
  });

  test.each([
    [[], "which command?"],
    [["lst"], "did you mean list?"],
    [["toString"], "is no command"],
    [["list", "--image", "x"], "--image"],
    [["list", "--state"], "--state"],
    [["list", "--token", "secret"], "--token"],
  ])("%p is wrong usage", (args, problem) => {
    expect(() => parseFleet(args, fleetCommands)).toThrow(problem);
  });

  test("--help names every command, option and action", () => {
    for (const [name, { options }] of Object.entries(fleetCommands)) {
      expect(fleetCommand.usage).toMatch(new RegExp(`^  ${name}\\b`, "m"));
      for (const option of Object.keys(options)) expect(fleetCommand.usage).toContain(`--${option}`);
    }
    for (const option of Object.keys(commonOptions)) expect(fleetCommand.usage).toContain(`--${option}`);
    for (const action of powerActions) expect(fleetCommand.usage).toContain(action);
  });
});
