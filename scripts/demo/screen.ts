/** What the demos show: titles, tables, and what a machine says on its serial console. */
import { chalk, echo } from "zx";

export const title = (text: string) => echo(`\n${chalk.bold(text)}`);

export function showTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  for (const row of rows) echo(`  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd());
}

/** Shows a line as one that a machine has said. */
export const showLine = (text: string) => echo(chalk.dim("  | ") + text);

/**
 * Shows what a machine says, line by line, from the first line that matches `from` on.
 * @param show gets each line, without what moves a cursor
 */
export function showSerial(from: RegExp, show: (line: string) => void = showLine): (text: string) => void {
  let pending = "";
  let isShown = false;
  return (text) => {
    pending += text;
    const lines = pending.split(/\r\n|\n|\r/);
    pending = lines.pop() ?? "";
    for (const line of lines) {
      let plain = line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").trim();
      if (!isShown && from.test(plain)) {
        isShown = true;
        plain = plain.slice(plain.search(from)); // the boot menu is left standing on the same line
      }
      if (isShown && plain !== "") show(plain);
    }
  };
}
