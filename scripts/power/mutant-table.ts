/** Puts how each mutant was caught into docs/power-cuts.md, between its two markers. */
import { readFileSync, writeFileSync } from "node:fs";
import { mutants } from "./mutants.ts";
import { type Result, readAllResults } from "./results.ts";
import { placeTable } from "./table.ts";

const document = "docs/power-cuts.md";
const markers = ["<!-- mutants: begin (made by scripts/power/mutant-table.ts) -->", "<!-- mutants: end -->"] as const;

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

if (import.meta.main)
  writeFileSync(document, placeTable(readFileSync(document, "utf8"), formatMutantTable(readAllResults()), markers));
