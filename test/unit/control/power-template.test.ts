/** Templates and adapters: what is refused when they are loaded. */
import { expect, test } from "bun:test";
import { type PowerAdapter, powerAdapterSchema, variableProblems } from "../../../src/control/server/power/adapter.ts";
import { powerPresets } from "../../../src/control/server/power/presets.ts";
import { redact, secretsOf } from "../../../src/control/server/power/redact.ts";
import { fillArgument, placeholdersOf } from "../../../src/control/server/power/template.ts";

const pdu = {
  name: "pdu",
  commands: { status: ["pdu", "{{address}}", "status"], on: ["pdu", "{{address}}", "on", "--outlet={{outlet}}"] },
  statusOn: "ON",
  statusOff: "OFF",
};

function problemsOf(adapter: unknown): string[] {
  const parsed = powerAdapterSchema.safeParse(adapter);
  return parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
}

function load(changes: object = {}): PowerAdapter {
  return powerAdapterSchema.parse({ ...pdu, ...changes });
}

test("a value fills one argument as it is, whatever is in it", () => {
  for (const value of ["a b", "'\"`", "$(reboot)", "{{other}}", "$&", "", "a\nb", "*"]) {
    expect(fillArgument("{{ x }}", { x: value })).toEqual({ text: value });
    expect(fillArgument("-o{{x}}-{{x}}", { x: value })).toEqual({ text: `-o${value}-${value}` });
  }
  expect(placeholdersOf("{{b}}{{ a }}{{b}}")).toEqual(["b", "a"]);
});

test("a value never becomes an option", () => {
  for (const template of ["{{x}}", "{{e}}{{x}}", "{{x}}.example"]) {
    expect(fillArgument(template, { x: "-f", e: "" })).toEqual({ problem: expect.stringContaining('"-"') });
  }
  expect(fillArgument("host={{x}}", { x: "-f" })).toEqual({ text: "host=-f" });
  expect(fillArgument("-f", {})).toEqual({ text: "-f" });
});

test("what is missing, inherited or holds a NUL is refused by name", () => {
  expect(fillArgument("{{address}}", {})).toEqual({ problem: 'the variable "address" is missing' });
  expect(fillArgument("{{constructor}}", {})).toEqual({ problem: 'the variable "constructor" is missing' });
  expect(fillArgument("{{x}}", { x: "a\0b" })).toEqual({ problem: 'the variable "x" holds a NUL' });
});

test("an adapter is loaded with what it need not say", () => {
  expect(load()).toMatchObject({ timeoutSeconds: 30, retries: 1, env: {}, defaults: {} });
  for (const preset of Object.values(powerPresets)) expect(problemsOf(preset)).toEqual([]);
});

const refused: [string, object, RegExp][] = [
  ["a command line in place of an array", { commands: { on: "pdu on" } }, /^commands\.on: expected an array/],
  ["a command without a program", { commands: { on: [] } }, /^commands\.on: must name a program/],
  ["an empty program", { commands: { on: [""] } }, /^commands\.on: the program must be written out/],
  ["a program from a variable", { commands: { on: ["{{x}}"] } }, /^commands\.on: the program must be written out/],
  ["a number among the arguments", { commands: { on: ["pdu", 1] } }, /^commands\.on\.1: expected text \(put a value/],
  ["a placeholder that is none", { commands: { on: ["pdu", "{{a-b}}"] } }, /is no placeholder/],
  ["a placeholder left open", { commands: { on: ["pdu", "{{a"] } }, /is no placeholder/],
  ["a NUL in an argument", { commands: { on: ["pdu", "a\0"] } }, /NUL/],
  ["an action that there is not", { commands: { bounce: ["pdu"] } }, /^commands/],
  ["a status without patterns", { statusOn: "" }, /^commands\.status: needs statusOn and statusOff/],
  ["a broken pattern", { statusOn: "(" }, /^statusOn: is no regular expression/],
  ["a reset without a status", { commands: { reset: ["pdu"] } }, /^commands\.reset: needs a status command/],
  ["no time at all", { timeoutSeconds: 0 }, /^timeoutSeconds/],
  ["an unknown key", { shell: true }, /shell/],
  ["a name that is a path", { name: "../pdu" }, /^name: expected letters/],
  ["a broken variable name in the environment", { env: { "A B": "x" } }, /^env/],
];

test.each(refused)("%s is refused", (_, changes, problem) => {
  expect(problemsOf({ ...pdu, ...changes })).toEqual([expect.stringMatching(problem)]);
});

test("a machine's variables are judged before anything is switched", () => {
  const adapter = load({ env: { PDU_PASSWORD: "{{password}}" }, defaults: { outlet: "1" } });
  const good = { machine: "kiosk-7", address: "10.0.0.7", password: "-x y" };
  expect(variableProblems(adapter, good)).toEqual([]);
  expect(variableProblems(adapter, { ...good, address: "-h", adress: "10.0.0.7" })).toEqual([
    'kiosk-7: power adapter "pdu": no command uses the variable "adress"; did you mean "address"?',
    'kiosk-7: power adapter "pdu": the variable "address" begins with "-" and would be taken for an option',
  ]);
  expect(variableProblems(adapter, { machine: "kiosk-7", outlet: "2" })).toEqual([
    'kiosk-7: power adapter "pdu": the variable "address" is missing',
    'kiosk-7: power adapter "pdu": the variable "password" is missing',
  ]);
});

test("no preset has a password among its arguments", () => {
  for (const preset of Object.values(powerPresets)) {
    const used = Object.values(preset.commands).flat().flatMap(placeholdersOf);
    expect(new Set(used)).toEqual(new Set(["address", "port", "user", "bootOptions"]));
    expect(Object.keys(preset.commands)).toHaveLength(6);
  }
});

test("secrets are hidden in every spelling, the longest first", () => {
  const adapter = load({ env: { A: "{{pin}}", PDU_TOKEN: "pre-{{address}}" } });
  const secrets = secretsOf(adapter, { machine: "k", address: "host", pin: '4"2', password: '4"23', outlet: "9" });
  const text = 'pin 4"2 pass 4"23 json 4\\"23 url 4%2223 base64 NCIyMw== token pre-host outlet 9\x1b[2J';
  expect(redact(text, secrets)).toBe(
    "pin <hidden> pass <hidden> json <hidden> url <hidden> base64 <hidden> token <hidden> outlet 9\ufffd[2J",
  );
  expect(redact("nothing to hide", [])).toBe("nothing to hide");
});
