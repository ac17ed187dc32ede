/** Follows the patterns of the retention list down a directory tree, one name at a time. */
import type { RetentionRule } from "./list.ts";
import type { PatternSegment } from "./pattern.ts";

/** A rule whose first `depth` segments have been matched by the directories above. */
export interface RuleState {
  readonly rule: RetentionRule;
  readonly depth: number;
}

/** What a name means to the rules of the directory that it is in. */
export interface NameMatch {
  /** Rules that the name completes. */
  readonly completed: readonly RetentionRule[];
  /** Rules that may match something below it, if it is a directory … */
  readonly below: readonly RuleState[];
  /** … and if it is a symbolic link to one: `**` does not lead through links, so that they cannot lead in circles. */
  readonly belowLink: readonly RuleState[];
}

/** The states at the root directory. */
export function startStates(rules: readonly RetentionRule[]): RuleState[] {
  return expand(rules.filter((rule) => rule.kind !== "exclude").map((rule) => ({ rule, depth: 0 })));
}

/** `**` may stand for no directory at all: the segment after it counts as well. */
function expand(states: readonly RuleState[]): RuleState[] {
  const all = new Map<string, RuleState>();
  for (const state of states) {
    for (let { depth } = state; ; depth++) {
      all.set(`${state.rule.origin}\0${depth}`, { rule: state.rule, depth });
      if (segmentOf({ rule: state.rule, depth })?.kind !== "any-depth") break;
    }
  }
  return [...all.values()];
}

function segmentOf(state: RuleState): PatternSegment | undefined {
  return state.rule.pattern.segments[state.depth];
}

/** The only names that can match, where no rule holds a pattern at this depth; else null: the directory must be read. */
export function literalNames(states: readonly RuleState[]): Buffer[] | null {
  const names = new Map<string, Buffer>();
  for (const state of states) {
    const segment = segmentOf(state);
    if (segment === undefined) continue;
    if (segment.kind !== "literal") return null;
    names.set(segment.name.toString("latin1"), segment.name);
  }
  return [...names.values()];
}

/** Matches a name (as bytes and decoded) against the states of its directory. */
export function matchName(states: readonly RuleState[], name: Buffer, text: string): NameMatch {
  const completed: RetentionRule[] = [];
  const advanced: RuleState[] = [];
  const carried: RuleState[] = [];
  for (const state of states) {
    const segment = segmentOf(state);
    if (segment === undefined) continue;
    if (segment.kind === "any-depth") carried.push(state);
    else if (segment.kind === "literal" ? segment.name.equals(name) : segment.regex.test(text)) {
      if (state.depth + 1 === state.rule.pattern.segments.length) completed.push(state.rule);
      else advanced.push({ rule: state.rule, depth: state.depth + 1 });
    }
  }
  return { completed, below: expand([...advanced, ...carried]), belowLink: expand(advanced) };
}
