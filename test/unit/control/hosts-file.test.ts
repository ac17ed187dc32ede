/** The hosts file: good as a whole, or everything that is wrong with it at once. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHostsFile, parseHostsFile, type Secret } from "../../../src/control/server/hosts-file.ts";
import { ReimageError } from "../../../src/errors.ts";

const project = join(import.meta.dir, "..", "..", "..");
const none = (path: string): Secret => ({ problem: `${path} is not there` });
const parse = (text: string, secretOf = none) => parseHostsFile(text, "hosts.yaml", secretOf);
const id = (n: number) => `4c4c4544-0000-0000-0000-${String(n).padStart(12, "0")}`;

/** The problems that a file is refused for. */
function problemsOf(text: string, secretOf = none): string[] {
  try {
    parse(text, secretOf);
  } catch (error) {
    if (!(error instanceof ReimageError)) throw error;
    expect(error.code).toBe("config");
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

test("hosts.example.yaml and the files of docs/control.md load", () => {
  const example = readFileSync(join(project, "hosts.example.yaml"), "utf8");
  const hosts = parse(example);
  expect(hosts.images?.map((image) => image.id)).toEqual(["kiosk-2026.11"]);
  expect(hosts.bootConfigurations?.map(({ name }) => name)).toEqual(["reimage", "rescue", "memtest"]);
  expect(hosts.powerAdapters.map(({ name }) => name)).toEqual(["pdu"]);
  expect(hosts.machines?.map(({ name, macs }) => [name, macs])).toEqual([
    ["kiosk-7", ["52:54:00:12:34:56"]],
    ["kiosk-8", ["52:54:00:12:34:57"]],
  ]);
  const documentation = readFileSync(join(project, "docs", "control.md"), "utf8");
  const blocks = [...documentation.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");
  expect(blocks.length).toBeGreaterThan(0);
  for (const block of blocks) parse(block, () => ({ secret: "s" }));
});

test("a section that is not there is told from an empty one", () => {
  expect(parse("machines:\n")).toMatchObject({ machines: [], images: null, bootConfigurations: null });
  expect(parse("")).toMatchObject({ machines: null });
});

test("everything that is wrong is told at once, by its path, with the nearest known key", () => {
  const problems = problemsOf(`
machine: []
images:
  - id: os
    sha: abc
  - id: "bad id"
bootConfigurations:
  - name: x
    kind: linus
  - name: y
    kind: linux
    kernel: k
    initrds: [a]
powerAdapters:
  - name: p
    commands: { onn: [a] }
    timeout: 3
machines:
  - id: ${id(1)}
    name: kiosk-1
    mac: aa:bb:cc:dd:ee:ff
  - name: kiosk-2
    id: nothing
    macs: [nonsense]
    serial: 12
  - id: ${id(3)}
    power: { adaptor: ipmitool }
  - 7
`);
  expect(problems).toEqual([
    'unknown key "machine"; did you mean "machines"?',
    'images[0] (os): unknown key "sha"; did you mean "sha256"?',
    expect.stringMatching(/^images\[1\]\.id: expected letters/),
    "bootConfigurations[0] (x).kind: expected local, linux or text",
    'bootConfigurations[1] (y): unknown key "initrds"; did you mean "initrd"?',
    'powerAdapters[0] (p).commands: unknown key "onn"; did you mean "on"?',
    'powerAdapters[0] (p): unknown key "timeout"; did you mean "timeoutSeconds"?',
    'machines[0] (kiosk-1): unknown key "mac"; did you mean "macs"?',
    "machines[1] (kiosk-2).id: expected a UUID",
    "machines[1] (kiosk-2).macs[0]: expected a MAC address",
    "machines[1] (kiosk-2).serial: expected text (put a value made of digits in quotes)",
    expect.stringMatching(/^machines\[2\] \(.*\)\.power\.adapter: is missing$/),
    expect.stringMatching(/^machines\[2\] \(.*\)\.power: unknown key "adaptor"; did you mean "adapter"\?$/),
    expect.stringMatching(/^machines\[3\]: /),
  ]);
});

test("what is there twice is told with both places, in whatever spelling", () => {
  const problems = problemsOf(`
images: [{ id: os }, { id: os }]
bootConfigurations: [{ name: a, kind: local }, { name: a, kind: local }]
powerAdapters:
  - { name: ipmitool, commands: {} }
machines:
  - { id: ${id(1).toUpperCase()}, name: k, macs: ["52:54:00:00:00:0A"] }
  - { id: ${id(1)}, name: l, macs: ["52-54-00-00-00-0a"] }
  - { id: ${id(3)}, name: k, macs: [5254.0000.000b, 52540000000b] }
`);
  expect(problems).toEqual([
    "images[0] (os) and images[1] (os) have the same id: os",
    "bootConfigurations[0] (a) and bootConfigurations[1] (a) have the same name: a",
    "a preset and powerAdapters[0] (ipmitool) have the same name: ipmitool",
    `machines[0] (k) and machines[1] (l) have the same id: ${id(1)}`,
    "machines[0] (k) and machines[2] (k) have the same name: k",
    "machines[0] (k) and machines[1] (l) have the same MAC: 52:54:00:00:00:0a",
    "machines[2] (k) names the MAC 52:54:00:00:00:0b twice",
  ]);
  expect(problemsOf("machines: []\nimages: []\nmachines: []\n")).toEqual([
    "machines stands on line 1 and again on line 3",
  ]);
});

test("what is no YAML is refused with its line, in a file of any size", () => {
  const many = Array.from({ length: 20_000 }, (_, i) => `  - id: ${id(i)}\n`).join("");
  expect(() => parse(`machines:\n${many}  - id: ]\n${many}`)).toThrow(/near line 20002$/);
  expect(() => parse("[1]")).toThrow(/expected a mapping/);
  expect(() => parse("machines:\n  - __proto__: 1\n")).toThrow(/__proto__/);
  expect(problemsOf("machines: 7\n")).toEqual(["machines: expected a list"]);
});

describe("power", () => {
  const machine = (power: string) => `machines:\n  - { id: ${id(1)}, name: k, power: ${power} }\n`;
  const open = "variables: { address: a, user: u }";

  test("a password comes from a file, and is not in the file then", () => {
    const hosts = parse(machine(`{ adapter: ipmitool, ${open}, passwordFile: bmc }`), (path) => ({
      secret: `of ${path}`,
    }));
    expect(hosts.machines?.[0]?.power).toEqual({
      adapter: "ipmitool",
      variables: { address: "a", user: "u", password: "of bmc" },
    });
    expect(hosts.holdsSecrets).toBe(false);
    expect(parse(machine("{ adapter: ipmitool, variables: { address: a, user: u, password: p } }")).holdsSecrets).toBe(
      true,
    );
  });

  test.each([
    [`{ adapter: ipmitol, ${open} }`, 'there is no power adapter "ipmitol"; did you mean "ipmitool"?'],
    [`{ adapter: ipmitool, ${open} }`, 'the variable "password" is missing'],
    [`{ adapter: ipmitool, ${open}, passwordFile: x }`, "x is not there"],
    ["{ adapter: ipmitool, variables: { address: a, user: u, password: p, adress: b } }", 'did you mean "address"'],
    ["{ adapter: ipmitool, variables: { address: a, user: u, password: p, machine: b } }", "always the machine's id"],
    ["{ adapter: ipmitool, variables: { address: a, user: 7, password: p } }", "put a value made of digits in quotes"],
  ])("%s is refused", (power, problem) => {
    expect(problemsOf(machine(power))).toEqual([expect.stringContaining(problem)]);
    expect(problemsOf(machine(power))[0]).toContain("machines[0] (k)");
  });

  test("a password in both places is refused", () => {
    const both = machine("{ adapter: ipmitool, variables: { address: a, user: u, password: p }, passwordFile: x }");
    expect(problemsOf(both, () => ({ secret: "s" }))).toEqual([expect.stringContaining("both passwordFile and")]);
  });

  test("files with passwords are for their owner alone, and lie beside the hosts file", () => {
    const directory = mkdtempSync(join(tmpdir(), "reimage-hosts-"));
    try {
      const [hosts, secret] = [join(directory, "hosts.yaml"), join(directory, "bmc.password")];
      writeFileSync(hosts, machine(`{ adapter: ipmitool, ${open}, passwordFile: bmc.password }`), { mode: 0o644 });
      expect(() => openHostsFile(hosts)).toThrow(/bmc\.password cannot be read \(ENOENT\)/);
      writeFileSync(secret, "s3cret\nanother line\n");
      chmodSync(secret, 0o640);
      expect(() => openHostsFile(hosts)).toThrow(/not for its owner alone \(mode 0640\): chmod 600/);
      chmodSync(secret, 0o600);
      const { hosts: file, warnings } = openHostsFile(hosts);
      expect(file.machines?.[0]?.power?.variables.password).toBe("s3cret");
      expect(warnings).toEqual([]);
      writeFileSync(secret, "\n");
      expect(() => openHostsFile(hosts)).toThrow(/has no password in its first line/);

      writeFileSync(hosts, machine("{ adapter: ipmitool, variables: { address: a, user: u, password: p } }"));
      expect(openHostsFile(hosts).warnings).toEqual([
        `${hosts} holds passwords, and others can read it: chmod 600 ${hosts}`,
      ]);
      chmodSync(hosts, 0o600);
      expect(openHostsFile(hosts).warnings).toEqual([]);
      expect(() => openHostsFile(join(directory, "other"))).toThrow(/cannot be read/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
