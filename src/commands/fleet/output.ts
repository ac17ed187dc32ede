/** What the commands print: tables that fit a terminal and stay whole elsewhere, and JSON as the server gave it. */
import Table from "cli-table3";
import { showPlainly } from "../../control/view/plain-text.ts";
import { onOneLine } from "../../report/format.ts";

export interface Output {
  readonly isJson: boolean;
  /** A line on standard output. */
  line(text: string): void;
  /** A line for the person, which is not part of the result: on standard error. */
  note(text: string): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  /** An answer of the server. @param text as it was sent. */
  json(text: string): void;
}

/** @param columns the width of the terminal; null: it is none, and nothing is shortened. */
export function createOutput(isJson: boolean, columns: number | null): Output {
  return {
    isJson,
    line: (text) => void process.stdout.write(`${showPlainly(text)}\n`),
    note: (text) => void process.stderr.write(`reimage: ${showPlainly(text)}\n`),
    table: (head, rows) => void process.stdout.write(formatTable(head, rows, columns)),
    json: (text) => void process.stdout.write(`${harmlessJson(text)}\n`),
  };
}

/** The same JSON (RFC 8259, section 7) without the characters that terminals obey or that cannot be seen (pure). */
export function harmlessJson(text: string): string {
  return text.replace(
    /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const GAP = 2;
const LEAST_WIDTH = 6;
const none = { top: "", "top-mid": "", "top-left": "", "top-right": "", mid: "", "left-mid": "", "mid-mid": "" };
const borderless = {
  ...none,
  ...{ "right-mid": "", bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "" },
  ...{ left: "", right: "", middle: "" },
};

/** Columns without borders (pure). @param columns as of `createOutput` */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number | null,
): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => onOneLine(showPlainly(cell)).replaceAll("\t", " ")));
  const widths = head.map((_, i) => Math.max(...cells.map((row) => Bun.stringWidth(row[i] ?? ""))));
  const fitting = columns === null ? widths : shrink(widths, columns);
  const table = new Table({
    chars: borderless,
    style: { "padding-left": 0, "padding-right": GAP, head: [], border: [], compact: true },
  });
  for (const row of cells) table.push(row.map((cell, i) => shorten(cell, fitting[i] ?? 0)));
  return `${table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")}\n`;
}

/** Takes from the widest column until all fit. */
function shrink(widths: readonly number[], columns: number): number[] {
  const fitting = [...widths];
  const gaps = GAP * (widths.length - 1);
  while (fitting.reduce((sum, width) => sum + width, gaps) > columns) {
    const widest = Math.max(...fitting);
    if (widest <= LEAST_WIDTH) break;
    fitting[fitting.lastIndexOf(widest)] = widest - 1;
  }
  return fitting;
}

function shorten(cell: string, width: number): string {
  if (Bun.stringWidth(cell) <= width) return cell;
  let text = "";
  for (const char of cell) {
    if (Bun.stringWidth(text + char) > width - 1) break;
    text += char;
  }
  return `${text}…`;
}
