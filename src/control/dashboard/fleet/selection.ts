/** Which machines are shown, in which order, and how many there are of each kind (pure). */
import type { MachineSummary } from "../../protocol/machine.ts";
import { type Condition, conditionOf, conditions, conditionWords, isSilent, progressOf } from "../../view/condition.ts";
import type { Fleet } from "./fleet.ts";

export type Filter = "all" | Condition | "silent";
export type SortKey = "machine" | "state" | "progress" | "image" | "configuration" | "seen";
export interface Sort {
  readonly key: SortKey;
  readonly descending: boolean;
}

export interface View {
  readonly ids: readonly string[];
  readonly counts: Readonly<Record<Filter, number>>;
}

export interface Question {
  readonly filter: Filter;
  readonly query: string;
  readonly sort: Sort;
  readonly nowMs: number;
}

export function viewOf(fleet: Fleet, { filter, query, sort, nowMs }: Question): View {
  const counts = Object.fromEntries(["all", "silent", ...conditions].map((each) => [each, 0])) as Record<
    Filter,
    number
  >;
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const shown: MachineSummary[] = [];
  for (const id of fleet.order) {
    const machine = fleet.machines.get(id);
    if (machine === undefined) continue;
    const condition = conditionOf(machine);
    const silent = isSilent(machine, nowMs);
    counts.all += 1;
    counts[condition] += 1;
    if (silent) counts.silent += 1;
    const isWanted = filter === "all" || filter === condition || (filter === "silent" && silent);
    if (isWanted && matches(machine, words)) shown.push(machine);
  }
  return { ids: sorted(shown, sort).map(({ id }) => id), counts };
}

/** What is searched: made once a machine and change, because typing asks for it 5,000 times a letter. */
const haystacks = new WeakMap<MachineSummary, string>();

function matches(machine: MachineSummary, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  let haystack = haystacks.get(machine);
  if (haystack === undefined) {
    const { id, name, serial, macs, imageId, configuration, reinstall } = machine;
    const barest = macs.map((mac) => mac.replaceAll(":", "")); // so that 5254.0012.3456 and 525400123456 are found too
    const state = conditionWords[conditionOf(machine)].word;
    haystack = [id, name, serial, ...macs, ...barest, imageId, configuration, reinstall?.imageId, state]
      .filter((each) => typeof each === "string")
      .join("\n")
      .toLowerCase();
    haystacks.set(machine, haystack);
  }
  const text = haystack;
  return words.every((word) => text.includes(word) || (isBareMac(word) && text.includes(word.replace(/[.:-]/g, ""))));
}

const isBareMac = (word: string) => /^[0-9a-f.:-]{6,}$/.test(word) && /[.:-]/.test(word);

const keys: Readonly<Record<Exclude<SortKey, "machine">, (machine: MachineSummary) => string | number>> = {
  state: (machine) => conditions.indexOf(conditionOf(machine)),
  progress: (machine) => progressOf(machine) ?? -1,
  image: ({ imageId }) => imageId ?? "",
  configuration: ({ configuration }) => configuration,
  seen: ({ lastSeenAt }) => (lastSeenAt === null ? 0 : Date.parse(lastSeenAt)),
};

/** Equal ones stay in the order of their names: Array.sort is stable. */
function sorted(machines: MachineSummary[], { key, descending }: Sort): MachineSummary[] {
  if (key === "machine") return descending ? machines.reverse() : machines;
  const keyOf = keys[key];
  const sign = descending ? -1 : 1;
  const keyed = machines.map((machine) => ({ machine, by: keyOf(machine) }));
  return keyed.sort((a, b) => (a.by < b.by ? -sign : a.by > b.by ? sign : 0)).map(({ machine }) => machine);
}
