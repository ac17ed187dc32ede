/**
 * Absolute paths and globs, as the retention list writes them: `*` and `?` within a name (a leading dot is nothing
 * special), `[a-z]` and `[!a-z]`, `**` as a whole name for any number of directories. A backslash before one of
 * `* ? [ ] \` takes its meaning away.
 */
import { encodePath } from "./path.ts";

/** One name of a pattern. */
export type PatternSegment =
  | { readonly kind: "literal"; readonly name: Buffer }
  | { readonly kind: "glob"; readonly regex: RegExp }
  | { readonly kind: "any-depth" };

/** A parsed pattern. */
export interface PathPattern {
  readonly text: string;
  readonly segments: readonly PatternSegment[];
  /** The path itself where the pattern holds no glob. */
  readonly literalPath: Buffer | null;
  /** Matches the decoded path of whatever the pattern names, and of everything below it. */
  readonly covers: RegExp;
}

/** Parses a pattern. @throws Error with a reason that fits after "FILE:LINE: ". */
export function parsePattern(text: string): PathPattern {
  if (!text.startsWith("/")) throw new Error("it is not an absolute path (it does not begin with /)");
  if (text.includes("\0")) throw new Error("it holds a NUL byte");
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new Error('it has a ".." in it');
  if (names.length === 0) throw new Error("it is the root directory, that is the whole old OS");
  // A directory means everything below it, so a last `**` says the same as `*`.
  const last = names.length - 1;
  const segments = names.map((name, i) => parseSegment(name === "**" && i === last ? "*" : name));
  const literals = segments.map((segment) => (segment.kind === "literal" ? segment.name : null));
  const slash = Buffer.from("/");
  return {
    text,
    segments,
    literalPath: literals.every((name) => name !== null) ? Buffer.concat(literals.flatMap((n) => [slash, n])) : null,
    covers: new RegExp(`^${names.map((n, i) => segmentSource(n, i === last)).join("")}(?:/.*)?$`, "su"),
  };
}

/** Whether nothing but wildcards is named, as in `/*`: the whole old OS. */
export function isEverything(pattern: PathPattern): boolean {
  return pattern.text.split("/").every((name) => name === "." || /^\**$/.test(name));
}

function parseSegment(name: string): PatternSegment {
  if (name === "**") return { kind: "any-depth" };
  const { source, literal } = translate(name);
  return literal !== null
    ? { kind: "literal", name: encodePath(literal) }
    : { kind: "glob", regex: new RegExp(`^${source}$`, "su") };
}

function segmentSource(name: string, isLast: boolean): string {
  if (name === "**") return isLast ? "/[^/]+" : "(?:/[^/]+)*";
  return `/${translate(name).source}`;
}

/** One name as the source of a regular expression, and as a literal where it holds no glob. */
function translate(name: string): { source: string; literal: string | null } {
  const characters = [...name];
  let source = "";
  let literal: string | null = "";
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? "";
    const next = characters[i + 1];
    const bracketEnd = character === "[" ? findBracketEnd(characters, i) : -1;
    if (character === "*" || character === "?") {
      if (character === "?" || characters[i - 1] !== "*" || !source.endsWith("*")) {
        source += character === "*" ? "[^/]*" : "[^/]";
      }
      literal = null;
    } else if (bracketEnd > 0) {
      source += bracketSource(characters.slice(i + 1, bracketEnd));
      literal = null;
      i = bracketEnd;
    } else {
      const isEscape = character === "\\" && next !== undefined && "*?[]\\".includes(next);
      const meant = isEscape ? next : character;
      if (isEscape) i += 1;
      source += codePoint(meant);
      if (literal !== null) literal += meant;
    }
  }
  return { source, literal };
}

/** The index of the `]` that ends a bracket expression, or -1: then `[` is an ordinary character. */
function findBracketEnd(characters: readonly string[], start: number): number {
  const first = characters[start + 1] === "!" || characters[start + 1] === "^" ? start + 2 : start + 1;
  return characters.indexOf("]", first + 1); // a `]` that comes first is a member
}

function bracketSource(members: readonly string[]): string {
  const isNegated = members[0] === "!" || members[0] === "^";
  const list = isNegated ? members.slice(1) : members;
  if (list.join("").includes("[:")) throw new Error("character classes such as [[:alpha:]] are not supported");
  let source = isNegated ? "[^/" : "[";
  for (let i = 0; i < list.length; i++) {
    const from = list[i] ?? "";
    const to = list[i + 1] === "-" ? list[i + 2] : undefined;
    if (to === undefined) {
      source += codePoint(from);
      continue;
    }
    if ((from.codePointAt(0) ?? 0) > (to.codePointAt(0) ?? 0)) throw new Error(`the range ${from}-${to} is backwards`);
    source += `${codePoint(from)}-${codePoint(to)}`;
    i += 2;
  }
  return `${source}]`;
}

function codePoint(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
