/** The tables of docs/power-cuts.md, each between its two markers. */
import { readFileSync, writeFileSync } from "node:fs";

const document = "docs/power-cuts.md";
/** Which script makes a table. */
const makers = { sweep: "table.ts", mutants: "mutant-table.ts", kills: "kill-table.ts" } as const;
export type TableName = keyof typeof makers;

/** Puts a table between its markers in a text (pure). @throws Error where they are not there. */
export function placeTable(text: string, name: TableName, table: string): string {
  const begin = `<!-- ${name}: begin (made by scripts/power/${makers[name]}) -->`;
  const end = `<!-- ${name}: end -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`${document} lacks the lines ${begin} and ${end}`);
  return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
}

export function writeTable(name: TableName, table: string): void {
  writeFileSync(document, placeTable(readFileSync(document, "utf8"), name, table));
}
