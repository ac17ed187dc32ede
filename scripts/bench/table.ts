/** Tables, as text and as Markdown (pure). */
import { type Ratios, type RunFigures, type Runs, reach } from "./figures.ts";

/** The first row is the heading. */
export type Rows = readonly (readonly string[])[];

const fixed = (value: number, digits: number): string => value.toFixed(digits);

/** One row a contender, in the order in which they ran. */
export function runRows(runs: Runs): Rows {
  const row = ([name, run]: [string, RunFigures]): string[] => [
    name,
    fixed(run.median_s, 2),
    `${fixed(run.min_s, 2)}–${fixed(run.max_s, 2)}`,
    fixed(run.peak_mb, 0),
    fixed(run.cpu_s, 2),
  ];
  return [["", "median s", "min–max s", "peak MB", "CPU s"], ...Object.entries(runs).map(row)];
}

/** One row a ratio: what it is without and with readback, what it should be at most, and whether it is. */
export function ratioRows(ratios: Ratios, withReadback: Ratios): Rows {
  const names = Object.keys(reach) as (keyof Ratios)[];
  const row = (name: keyof Ratios): string[] => [
    name,
    fixed(ratios[name], 2),
    name === "readback_cost" ? "" : fixed(withReadback[name], 2),
    fixed(reach[name], 2),
    ratios[name] <= reach[name] ? "reached" : "missed",
  ];
  return [["", "written", "and read back", "reach", ""], ...names.map(row)];
}

/** Columns in line; all but the first to the right. */
export function asText(rows: Rows): string {
  const widths = columnWidths(rows);
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)));
  return rows.map((row) => `  ${line(row).join("  ")}`.trimEnd()).join("\n");
}

export function asMarkdown(rows: Rows): string {
  const [heading = [], ...body] = rows;
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`.replaceAll("|  |", "| |");
  const rule = heading.map((_, column) => (column === 0 ? "---" : "--:"));
  return [line(heading), line(rule), ...body.map(line)].join("\n");
}

function columnWidths(rows: Rows): number[] {
  return (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
}
