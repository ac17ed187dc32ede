/** Puts how each mutant was caught into docs/power-cuts.md, between its two markers. */
import { writeTable } from "./document.ts";
import { mutants } from "./mutants.ts";
import { type Result, readAllResults } from "./results.ts";

/** The table (pure): every mutant, with its first dead machine, or in bold that there is none. */
export function formatMutantTable(all: readonly Result[]): string {
  const rows = mutants.map(({ name, without }) => {
    const judged = all.filter(({ scenario }) => scenario.mutant === name);
    const at = judged.findIndex(({ outcome }) => outcome === "dead");
    const dead = judged[at];
    const found = dead === undefined ? ["**not caught**", judged.length, ""] : [dead.id, at + 1, dead.reason ?? ""];
    return `| ${[name, without, ...found].join(" | ")} |`;
  });
  return ["| mutant | broken | state | judged until then | the machine |", "|---|---|---|---|---|", ...rows].join("\n");
}

if (import.meta.main) writeTable("mutants", formatMutantTable(readAllResults()));
