/** Puts what became of the machines that were hit into docs/power-cuts.md, between its two markers. */
import { type LifeboatState, lifeboatStates } from "../../src/lifeboat/record.ts";
import { writeTable } from "./document.ts";
import { type KillResult, readKillResults } from "./kill-results.ts";
import type { Means } from "./strikes.ts";

const names: Readonly<Record<Means, string>> = {
  kill: "SIGKILL of the program",
  oom: "out of memory, told to kill (sysrq-f)",
  hog: "out of memory, because there is none left",
  panic: "panic (sysrq-c)",
};
const states: readonly LifeboatState[] = lifeboatStates.filter((state) => state !== "abandoned");

/** The table, and what it was made from (pure). Of several programs the one counts that was judged last. */
export function formatKillTable(all: readonly KillResult[]): string {
  const results = all.filter(({ armed }) => armed === all.at(-1)?.armed);
  const struck = results.flatMap((result) => result.struck.filter(({ hit }) => hit !== null));
  const row = (name: string, of: typeof struck): string => {
    const counts = states.map((state) => of.filter((strike) => strike.state === state).length);
    return `| ${[name, ...counts, of.length, of.filter(({ isRunning }) => !isRunning).length].join(" | ")} |`;
  };
  const means = (Object.keys(names) as Means[]).filter((known) => struck.some(({ means }) => means === known));
  const count = (outcome: KillResult["outcome"]) => results.filter((result) => result.outcome === outcome).length;
  const facts = (of: (result: KillResult) => string) => [...new Set(results.map(of))].toSorted().join(", ");
  return [
    `| hit by | ${states.join(" | ")} | instants | of these while it started |`,
    `|---|${states.map(() => "---").join("|")}|---|---|`,
    ...means.map((known) =>
      row(
        names[known],
        struck.filter((strike) => strike.means === known),
      ),
    ),
    row("all", struck),
    "",
    `${results.length} runs: ${count("new")} ended in the new system, ${count("old")} in the old one, ${count("dead")} were dead.`,
    `Seeds ${facts(({ seed }) => String(seed))}; commits ${facts(({ commit }) => commit)}; ${facts(({ date }) => date.slice(0, 10))}.`,
  ].join("\n");
}

if (import.meta.main) writeTable("kills", formatKillTable(readKillResults()));
