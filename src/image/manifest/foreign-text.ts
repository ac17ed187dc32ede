/** Text out of files that anybody may have written, made fit for a console and a log. */

/** The start of `text`, on one line and without anything that a terminal would obey; cut at `atMost` characters. */
export function printable(text: string, atMost = 200): string {
  const start = text.slice(0, atMost).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
  return text.length > atMost ? `${start}...` : start;
}

/** The same, short and in quotes. */
export function quote(text: string): string {
  return `"${printable(text, 60)}"`;
}
