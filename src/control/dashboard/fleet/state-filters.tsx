/** How many machines are at what; each number is a filter. */

import { type Condition, conditionWords } from "../../view/condition.ts";
import { ConditionIcon } from "../parts/icons.tsx";
import type { Filter, View } from "./selection.ts";

const shown: readonly Filter[] = [
  "all",
  "requested",
  "running",
  "writing",
  "waiting",
  "parked",
  "failed",
  "unproven",
  "silent",
  "approve",
];

const wordsOf = (filter: Filter): { readonly word: string; readonly meaning: string } => {
  if (filter === "all") return { word: "Machines", meaning: "all machines" };
  if (filter === "silent") {
    return { word: "Unseen 5 min", meaning: "a run is under way, and nothing was heard of it for five minutes" };
  }
  return conditionWords[filter];
};

/** The order of the bar: what is going on, then what needs a person, then what is well. */
const bar: readonly Condition[] = [
  "installed",
  "requested",
  "running",
  "writing",
  "waiting",
  "unproven",
  "parked",
  "failed",
  "approve",
];

interface Props {
  readonly counts: View["counts"];
  readonly filter: Filter;
  readonly onFilter: (filter: Filter) => void;
}

export function StateFilters({ counts, filter, onFilter }: Props) {
  return (
    <nav class="states" aria-label="Machines by state">
      <div class="tiles">
        {shown.map((each) => (
          <button
            key={each}
            type="button"
            class={`tile ${each}${counts[each] === 0 ? " none" : ""}`}
            title={wordsOf(each).meaning}
            aria-pressed={filter === each}
            onClick={() => onFilter(filter === each ? "all" : each)}
          >
            <span class="count">{counts[each].toLocaleString("en")}</span>
            <span class="word">
              <ConditionIcon kind={each} />
              {wordsOf(each).word}
            </span>
          </button>
        ))}
      </div>
      <div class="shares" aria-hidden="true">
        {bar.map((each) => (
          <span key={each} class={each} style={{ flexGrow: counts[each] }} />
        ))}
        <span class="rest" style={{ flexGrow: counts.idle }} />
      </div>
    </nav>
  );
}
