/**
 * The hosts file: images, boot configurations, power adapters and machines, as an operator declares them. It is good as a
 * whole, or everything that is wrong with it is told at once. docs/control.md
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { nearest } from "../../config/nearest.ts";
import { isTree, parseYamlFile } from "../../config/yaml-file.ts";
import { ReimageError } from "../../errors.ts";
import type { HostMachine, Hosts } from "./decisions/hosts.ts";
import {
  describeIssue,
  type MachineEntry,
  type SectionName,
  sectionNames,
  sections,
  unknownKey,
} from "./hosts-file-schema.ts";
import { type PowerAdapter, variableProblems } from "./power/adapter.ts";
import { powerPresets } from "./power/presets.ts";
import { secretsOf } from "./power/redact.ts";

/** A file that is good. */
export interface HostsFile extends Hosts {
  /** Those of the file; the presets are not among them. */
  readonly powerAdapters: readonly PowerAdapter[];
  /** Whether passwords stand in the file itself. */
  readonly holdsSecrets: boolean;
}

/** The first line of a file with a password, or what is wrong with it. */
export type Secret = { readonly secret: string } | { readonly problem: string };

const MOST_PROBLEMS = 50;
const MOST_SECRET_BYTES = 4096;

/**
 * Reads a hosts file, and the files with passwords that it names.
 * @returns `warnings`: what is not wrong, but not well either.
 * @throws ReimageError `config`
 */
export function openHostsFile(path: string): { readonly hosts: HostsFile; readonly warnings: readonly string[] } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ReimageError("config", `the hosts file ${path} cannot be read`, { cause, hint: "check --hosts" });
  }
  const read = new Map<string, Secret>();
  const hosts = parseHostsFile(text, path, (name) => {
    const file = resolve(dirname(path), name);
    const secret = read.get(file) ?? readSecret(file);
    read.set(file, secret);
    return secret;
  });
  const isOpen = hosts.holdsSecrets && (statSync(path).mode & 0o077) !== 0;
  return { hosts, warnings: isOpen ? [`${path} holds passwords, and others can read it: chmod 600 ${path}`] : [] };
}

function readSecret(path: string): Secret {
  try {
    const { mode, size } = statSync(path);
    if ((mode & 0o077) !== 0) {
      const rights = (mode & 0o777).toString(8).padStart(4, "0");
      return { problem: `${path} is not for its owner alone (mode ${rights}): chmod 600 ${path}` };
    }
    if (size > MOST_SECRET_BYTES) return { problem: `${path} is too large for a password` };
    const secret = readFileSync(path, "utf8").split(/\r?\n/)[0] ?? "";
    return secret === "" ? { problem: `${path} has no password in its first line` } : { secret };
  } catch (cause) {
    return { problem: `${path} cannot be read (${cause instanceof Error && "code" in cause ? cause.code : "?"})` };
  }
}

/**
 * @param fileName for messages
 * @param secretOf reads the file that a `passwordFile` names.
 * @throws ReimageError `config` that names everything that is wrong.
 */
export function parseHostsFile(text: string, fileName: string, secretOf: (path: string) => Secret): HostsFile {
  const tree = parseTree(text, fileName);
  const problems = Object.keys(tree)
    .filter((key) => !sectionNames.some((name) => name === key))
    .map((key) => unknownKey(key, sectionNames));
  problems.push(...repeatedSections(text));
  const images = parseSection(tree, "images", problems);
  const bootConfigurations = parseSection(tree, "bootConfigurations", problems);
  const powerAdapters = parseSection(tree, "powerAdapters", problems);
  const machines = parseSection(tree, "machines", problems);
  const presets = Object.values(powerPresets).map((preset) => ({ place: "a preset", value: preset as PowerAdapter }));
  problems.push(
    ...duplicates("id", images ?? [], ({ id }) => [id]),
    ...duplicates("name", bootConfigurations ?? [], ({ name }) => [name]),
    ...duplicates("name", [...presets, ...(powerAdapters ?? [])], ({ name }) => [name]),
    ...duplicates("id", machines ?? [], ({ id }) => [id]),
    ...duplicates("name", machines ?? [], ({ name }) => (name === undefined ? [] : [name])),
    ...duplicates("MAC", machines ?? [], ({ macs }) => macs ?? []),
  );
  const adapters = [...presets, ...(powerAdapters ?? [])].map(({ value }) => value);
  let holdsSecrets = false;
  const powered = machines?.map(({ place, value }): HostMachine => {
    const { power, ...rest } = value;
    if (power === undefined) return { ...rest, place };
    const result = resolvePower(place, power, adapters, secretOf);
    problems.push(...result.problems);
    holdsSecrets ||= result.holdsSecrets;
    return { ...rest, place, power: { adapter: power.adapter, variables: result.variables } };
  });
  if (problems.length > 0) throw refuse(fileName, problems);
  return {
    images: values(images),
    bootConfigurations: values(bootConfigurations),
    powerAdapters: values(powerAdapters) ?? [],
    machines: powered ?? null,
    holdsSecrets,
  };
}

interface Entry<T> {
  readonly place: string;
  readonly value: T;
}

const values = <T>(entries: readonly Entry<T>[] | null): T[] | null => entries?.map(({ value }) => value) ?? null;

function parseTree(text: string, fileName: string) {
  try {
    Bun.YAML.parse(text);
  } catch (cause) {
    throw new ReimageError("config", `${fileName} is not valid YAML near line ${lineOfSyntaxError(text)}`, { cause });
  }
  const file = parseYamlFile(text);
  if ("tree" in file) return file.tree;
  throw new ReimageError("config", `${fileName}: ${file.problem}`);
}

/** The parser names no line. Found by halving, since the file may have a hundred thousand. */
function lineOfSyntaxError(text: string): number {
  const lines = text.split("\n");
  let [good, bad] = [0, lines.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      Bun.YAML.parse(lines.slice(0, middle).join("\n"));
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return bad;
}

/** The parser takes the last of two keys with one name, and half of the machines would be gone. */
function repeatedSections(text: string): string[] {
  const seen = new Map<string, number>();
  return text.split("\n").flatMap((line, index) => {
    const name = /^([A-Za-z]+)\s*:/.exec(line)?.[1];
    if (name === undefined) return [];
    const before = seen.get(name);
    seen.set(name, index + 1);
    return before === undefined ? [] : [`${name} stands on line ${before} and again on line ${index + 1}`];
  });
}

function parseSection<N extends SectionName>(tree: Record<string, unknown>, name: N, problems: string[]) {
  type Value = ReturnType<(typeof sections)[N]["parse"]>;
  const list = tree[name];
  if (list === undefined) return null;
  if (list === null) return []; // the key alone
  if (!Array.isArray(list)) {
    problems.push(`${name}: expected a list`);
    return [];
  }
  return list.flatMap((item: unknown, index): Entry<Value>[] => {
    const place = placeOf(name, index, item);
    const result = sections[name].safeParse(item);
    if (result.success) return [{ place, value: result.data as Value }];
    problems.push(...result.error.issues.flatMap((issue) => describeIssue(name, place, issue)));
    return [];
  });
}

/** `machines[3] (kiosk-7)`: counted from 0 as in a path, and named for a person. */
function placeOf(section: SectionName, index: number, item: unknown): string {
  const place = `${section}[${index}]`;
  if (!isTree(item)) return place;
  const label = typeof item.name === "string" ? item.name : item.id;
  return typeof label === "string" && /^[!-~]{1,128}$/.test(label) ? `${place} (${label})` : place;
}

function duplicates<T>(what: string, entries: readonly Entry<T>[], keysOf: (value: T) => readonly string[]): string[] {
  const seen = new Map<string, string>();
  return entries.flatMap(({ place, value }) =>
    keysOf(value).flatMap((key) => {
      const before = seen.get(key);
      seen.set(key, place);
      if (before === undefined) return [];
      return before === place
        ? [`${place} names the ${what} ${key} twice`]
        : [`${before} and ${place} have the same ${what}: ${key}`];
    }),
  );
}

function resolvePower(
  place: string,
  power: NonNullable<MachineEntry["power"]>,
  adapters: readonly PowerAdapter[],
  secretOf: (path: string) => Secret,
): { problems: string[]; variables: Record<string, string>; holdsSecrets: boolean } {
  const { adapter: name, passwordFile } = power;
  const variables: Record<string, string> = { ...power.variables };
  const adapter = adapters.find((each) => each.name === name);
  if (adapter === undefined) {
    const meant = nearest(
      name,
      adapters.map((each) => each.name),
    );
    const problem = `${place}.power.adapter: there is no power adapter ${JSON.stringify(name)}; did you mean ${JSON.stringify(meant)}?`;
    return { problems: [problem], variables, holdsSecrets: false };
  }
  const holdsSecrets = secretsOf({ ...adapter, defaults: {} }, { ...variables, machine: "" }).length > 0;
  if (passwordFile !== undefined) {
    const read = secretOf(passwordFile);
    if ("problem" in read)
      return { problems: [`${place}.power.passwordFile: ${read.problem}`], variables, holdsSecrets };
    if (Object.hasOwn(variables, "password")) {
      const problem = `${place}.power: has both passwordFile and variables.password`;
      return { problems: [problem], variables, holdsSecrets };
    }
    variables.password = read.secret;
  }
  return { problems: variableProblems(adapter, { ...variables, machine: place }), variables, holdsSecrets };
}

function refuse(fileName: string, problems: readonly string[]): ReimageError {
  const told = problems.slice(0, MOST_PROBLEMS).map((problem) => `\n  ${problem}`);
  const more = problems.length > MOST_PROBLEMS ? `\n  … and ${problems.length - MOST_PROBLEMS} more` : "";
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new ReimageError("config", `${fileName} has ${count}:${told.join("")}${more}`, {
    hint: "nothing of the file was loaded",
  });
}
