/** Reading the configuration file: YAML, and where in it a key stands (pure). */

/** A mapping in the file. */
export type Tree = Record<string, unknown>;

/** The file's mapping, or what is wrong with it. An empty file is an empty mapping. */
export function parseYamlFile(
  text: string,
): { readonly tree: Tree } | { readonly problem: string; readonly cause?: unknown } {
  let value: unknown;
  try {
    value = Bun.YAML.parse(text);
  } catch (cause) {
    return { problem: `not valid YAML near line ${lineOfSyntaxError(text)}`, cause };
  }
  if (value === null) return { tree: {} };
  // Such a key vanishes on its way through objects instead of being refused as unknown.
  if (hasKey(value, "__proto__")) return { problem: "__proto__ is no key" };
  return isTree(value) ? { tree: value } : { problem: "expected a mapping of keys to values" };
}

/** Whether a value is a mapping. */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasKey(value: unknown, key: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.hasOwn(value, key) || Object.values(value).some((child) => hasKey(child, key));
}

/** The parser names no line: it is the one after the longest beginning of the file that can be parsed. */
function lineOfSyntaxError(text: string): number {
  const lines = text.split("\n");
  for (let count = lines.length - 1; count > 0; count--) {
    try {
      Bun.YAML.parse(lines.slice(0, count).join("\n"));
      return count + 1;
    } catch {
      // still broken: the error lies further up
    }
  }
  return 1;
}

/**
 * The lines (from 1) on which each dotted key stands, for messages. Only keys on lines of their own are found; one inside
 * `{ … }` is not.
 */
export function findKeyLines(text: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  const open: { indent: number; key: string }[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const match = /^( *)(?:"([^"]+)"|'([^']+)'|([^\s#"'[\]{},&*!|>%@`-][^#]*?|\/[^#]*?))\s*:(?:\s|$)/.exec(line);
    if (match === null) continue;
    const indent = match[1]?.length ?? 0;
    while (indent <= (open.at(-1)?.indent ?? -1)) open.pop();
    const name = match[2] ?? match[3] ?? match[4] ?? "";
    const parent = open.at(-1)?.key;
    const key = parent === undefined ? name : `${parent}.${name}`;
    open.push({ indent, key });
    found.set(key, [...(found.get(key) ?? []), i + 1]);
  }
  return found;
}
