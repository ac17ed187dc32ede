/** The retention list: which files of the old OS come back in the new one. `retentionlist.example.txt` explains it. */
import { ReimageError } from "../errors.ts";
import { decodePath } from "./path.ts";
import { isEverything, type PathPattern, parsePattern } from "./pattern.ts";

/** One line of the list. `origin` is `file:line`, `text` the line as it was written. */
export type RetentionRule = { readonly pattern: PathPattern; readonly origin: string; readonly text: string } & (
  | { readonly kind: "retain" | "required" | "exclude" }
  | { readonly kind: "move"; readonly oldPath: Buffer; readonly newPath: Buffer }
);

const directives = ["@required", "@exclude", "@move"] as const;
const arrow = " -> ";

/**
 * Parses a retention list. `fileName` is for the messages.
 * @throws ReimageError `retention-list` naming file and line: no absolute path, `..`, the root directory, an unknown
 * directive, a `@move` that is not understood or contradicts another, an `@exclude` that covers a `@required`.
 */
export function parseRetentionList(text: string, fileName: string): RetentionRule[] {
  const rules: RetentionRule[] = [];
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const [i, rawLine] of lines.entries()) {
    const line = rawLine.endsWith("\r") ? rawLine.slice(0, -1) : rawLine;
    if (line.trim() === "" || line.startsWith("#")) continue;
    const origin = `${fileName}:${i + 1}`;
    try {
      rules.push({ ...parseLine(line), origin, text: line });
    } catch (error) {
      throw listError(`${origin}: "${line}" cannot be used: ${error instanceof Error ? error.message : error}`, error);
    }
  }
  checkConflicts(rules);
  return rules;
}

type ParsedLine =
  | { kind: "retain" | "required" | "exclude"; pattern: PathPattern }
  | { kind: "move"; pattern: PathPattern; oldPath: Buffer; newPath: Buffer };

function parseLine(line: string): ParsedLine {
  if (!line.startsWith("@")) return { kind: "retain", pattern: parseWanted(line) };
  const [, directive = line, rest = ""] = /^(@\S*)\s+(.*)$/su.exec(line) ?? [];
  switch (directive) {
    case "@required":
      return { kind: "required", pattern: parseWanted(rest) };
    case "@exclude":
      return { kind: "exclude", pattern: parsePattern(rest) };
    case "@move":
      return parseMove(rest);
    default:
      throw new Error(`${directive} is not known; there are ${directives.join(", ")}`);
  }
}

function parseWanted(text: string): PathPattern {
  const pattern = parsePattern(text);
  if (isEverything(pattern)) throw new Error("it means the whole old OS");
  return pattern;
}

function parseMove(rest: string): ParsedLine {
  const [oldText, newText, ...more] = rest.split(arrow);
  if (oldText === undefined || newText === undefined) throw new Error('it is not of the form "@move OLD -> NEW"');
  if (more.length > 0) throw new Error('it has more than one " -> "');
  const pattern = parsePattern(oldText);
  const oldPath = pattern.literalPath;
  const newPath = parsePattern(newText).literalPath;
  if (oldPath === null || newPath === null) {
    throw new Error("@move takes paths, not patterns (write \\* for a star that belongs to the name)");
  }
  return { kind: "move", pattern, oldPath, newPath };
}

function checkConflicts(rules: readonly RetentionRule[]): void {
  const moves = rules.filter((rule) => rule.kind === "move");
  for (const [i, move] of moves.entries()) {
    for (const other of moves.slice(0, i)) {
      const sameOld = move.oldPath.equals(other.oldPath);
      const sameNew = move.newPath.equals(other.newPath);
      if (sameOld && sameNew) continue;
      if (sameOld) throw listError(`${move.origin}: "${move.text}" moves what ${other.origin} moves elsewhere`);
      if (sameNew)
        throw listError(`${move.origin}: "${move.text}" moves to where ${other.origin} moves something else`);
    }
  }
  const excludes = rules.filter((rule) => rule.kind === "exclude");
  for (const required of rules) {
    if (required.kind !== "required" || required.pattern.literalPath === null) continue;
    const path = decodePath(required.pattern.literalPath);
    const exclude = excludes.find((rule) => rule.pattern.covers.test(path));
    if (exclude !== undefined) {
      throw listError(`${required.origin}: "${required.text}" is excluded by "${exclude.text}" (${exclude.origin})`);
    }
  }
}

function listError(message: string, cause?: unknown): ReimageError {
  return new ReimageError("retention-list", message, {
    hint: "correct the line in the retention list; nothing was written",
    ...(cause === undefined ? {} : { cause }),
  });
}
