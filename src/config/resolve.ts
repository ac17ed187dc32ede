/** Defaults, then the file, then the overrides: the configuration of a run, or everything that is wrong with it (pure). */
import { z } from "zod";
import { ReimageError } from "../errors.ts";
import { findContradictions, inControlAlone } from "./contradictions.ts";
import { configKeys, knownWords } from "./keys.ts";
import { mountPointProblem } from "./names.ts";
import { nearest } from "./nearest.ts";
import { type Config, configSchema, controlSchema, DEFAULT_PUBLIC_KEY, REQUIRED_SECTIONS } from "./schema.ts";
import { findKeyLines, isTree, parseYamlFile, type Tree } from "./yaml-file.ts";

/** One key set outside the file. `origin` says where, for messages. */
export interface Override {
  readonly key: string;
  readonly value: string;
  readonly origin: string;
}

/**
 * Resolves the configuration; later overrides win over earlier ones.
 * @param fileText the file, or null where there is none
 * @param fileName what the file is called in messages
 * @throws ReimageError code `config`, naming every problem, where it stands, and the known key nearest to an unknown one
 */
export function resolveConfig(fileText: string | null, fileName: string, overrides: readonly Override[]): Config {
  const { tree, problems, where } = readKeys(fileText, fileName, overrides);
  for (const name of REQUIRED_SECTIONS) if (tree[name] === undefined || tree[name] === null) tree[name] = {};
  const result = configSchema.safeParse(tree);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, tree, where)));
  if (result.success)
    problems.push(...findContradictions(result.data).map(({ key, problem }) => `${where(key)}: ${problem}`));
  if (!result.success || problems.length > 0) {
    throw configError(fileText === null ? [...problems, `(${fileName} does not exist)`] : problems);
  }
  const { image, ...rest } = result.data;
  const publicKey = { publicKey: image.publicKey ?? DEFAULT_PUBLIC_KEY, publicKeyNamed: image.publicKey !== null };
  return { ...rest, image: { ...image, ...publicKey } };
}

const reporting = z.object({ control: controlSchema.nullable().default(null), log: configSchema.shape.log });

/**
 * The keys that reporting needs, from a configuration that may lack everything else: `control` and `log`.
 * @throws ReimageError code `config`, as `resolveConfig`
 */
export function resolveReporting(
  fileText: string | null,
  fileName: string,
  overrides: readonly Override[],
): Pick<Config, "control" | "log"> {
  const { tree, problems, where } = readKeys(fileText, fileName, overrides);
  const result = reporting.safeParse(tree);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, tree, where)));
  const control = result.data?.control ?? null;
  if (control !== null)
    problems.push(...inControlAlone(control).map(({ key, problem }) => `${where(key)}: ${problem}`));
  if (!result.success || problems.length > 0) throw configError(problems);
  return result.data;
}

/** The keys as they are written, what is wrong with them whatever the schema says, and where each one stands. */
function readKeys(fileText: string | null, fileName: string, overrides: readonly Override[]) {
  const problems: string[] = [];
  const file = parseYamlFile(fileText ?? "");
  if ("problem" in file) throw configError([`${fileName}: ${file.problem}`], file.cause);
  const tree = file.tree;

  const origins = new Map<string, string>();
  for (const override of overrides) {
    const problem = applyOverride(tree, override);
    if (problem !== null) problems.push(`${override.origin}: ${problem}`);
    origins.set(override.key, override.origin);
  }

  const lines = findKeyLines(fileText ?? "");
  for (const [key, [first, ...again]] of lines) {
    if (again.length > 0 && isKnown(key))
      problems.push(`${fileName} line ${again[0]}: ${key} stands on line ${first} already`);
  }
  // A key inside { … } has no line of its own, and a missing one none at all: the section's will do.
  const where = (key: string): string => {
    const line = lines.get(key)?.at(-1);
    const place = origins.get(key) ?? (line === undefined ? null : `${fileName} line ${line}`);
    if (place !== null) return place;
    return key.includes(".") ? where(key.slice(0, key.lastIndexOf("."))) : fileName;
  };
  return { tree, problems, where };
}

/** Whether a dotted key, of a section too, is in the schema. A mount point is. */
function isKnown(key: string): boolean {
  return kindOf(key) !== null || knownWords.includes(key);
}

function kindOf(key: string): { kind: string; path: string[] } | null {
  const kind = configKeys.get(key);
  if (kind !== undefined) return { kind, path: key.split(".") };
  const mount = /^(old|new)\.mounts\.(.+)$/.exec(key); // the mount point may hold dots
  return mount === null ? null : { kind: "text", path: [mount[1] ?? "", "mounts", mount[2] ?? ""] };
}

/**
 * Sets one key in the tree; nothing (`log=`) takes the key back to its default.
 * @returns what is wrong with the override, as far as the schema would not notice
 */
function applyOverride(tree: Tree, { key, value }: Override): string | null {
  const known = kindOf(key);
  if (known === null) return unknownKey(key);
  const [section = "", ...below] = known.path;
  const mountPoint = below[0] === "mounts" ? below[1] : undefined;
  const problem = mountPoint === undefined ? null : mountPointProblem(mountPoint);
  if (problem !== null) return problem;

  const isNothing = /^(|~|null)$/.test(value.trim());
  // An empty list would be a guess: shells= must not bring shells back on a hardened machine.
  if (isNothing && known.kind !== "yaml") {
    set(tree, [section, ...below], undefined);
    return null;
  }
  if (known.kind === "section") return `${key} as a whole can only be set to nothing; set the keys below it`;
  const isYaml = known.kind === "yaml" || known.kind === "mounts" || value.trimStart().startsWith("{");
  set(tree, [section, ...below], isYaml ? parseYamlValue(value) : value);
  return null;
}

/** Sets or deletes one value, in copies of the mappings on the way: YAML aliases may share them. */
function set(tree: Tree, [name = "", ...below]: readonly string[], value: unknown): void {
  if (below.length === 0) {
    if (value === undefined) delete tree[name];
    else tree[name] = value;
    return;
  }
  const child = tree[name] ?? {};
  if (!isTree(child)) return; // not a mapping: the schema says so
  const copy = { ...child };
  tree[name] = copy;
  set(copy, below, value);
}

/** A value as YAML; what is no YAML stays text, and the schema says what it expected. */
function parseYamlValue(value: string): unknown {
  try {
    return Bun.YAML.parse(value);
  } catch {
    return value;
  }
}

function unknownKey(key: string): string {
  return `unknown key ${key}; did you mean ${nearest(key, knownWords)}?`;
}

/** One line for each thing that an issue says. The values themselves are left out where the schema does not name them. */
function describeIssue(issue: z.core.$ZodIssue, tree: Tree, where: (key: string) => string): string[] {
  const key = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const keys = issue.keys.map((name) => (key === "" ? name : `${key}.${name}`));
    return keys.map((unknown) => `${where(unknown)}: ${unknownKey(unknown)}`);
  }
  const value = issue.path.reduce<unknown>((node, name) => Object(node)[name], tree);
  if (value === undefined) return [`${where(key)}: ${key} is missing`];
  if (value === null) return [`${where(key)}: ${key} has no value`];
  const message = issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [`${where(key)}: ${key}: ${message}`];
}

function configError(problems: readonly string[], cause?: unknown): ReimageError {
  const message =
    problems.length === 1 ? problems.join() : `the configuration has problems:\n  ${problems.join("\n  ")}`;
  return new ReimageError("config", message, {
    hint: "correct the configuration; docs/configuration.md describes every key",
    ...(cause === undefined ? {} : { cause }),
  });
}
