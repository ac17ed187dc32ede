/** Lines of ours in a file that belongs to somebody else. Pure. */

const BEGIN = "# BEGIN reimage: one boot (reimage disarm removes it)";
const END = "# END reimage";

/** `text` with our lines at its end, in place of those that may be there. Every other line stays as it is. */
export function withBlock(text: string, lines: readonly string[]): string {
  const others = withoutBlock(text);
  const end = others === "" || others.endsWith("\n") ? "" : "\n";
  return `${others}${end}${[BEGIN, ...lines, END].join("\n")}\n`;
}

/** `text` without our lines. A beginning without an end is not taken for ours: what follows may be somebody else's. */
export function withoutBlock(text: string): string {
  const lines = text.split("\n");
  const first = lines.indexOf(BEGIN);
  const end = first === -1 ? -1 : lines.indexOf(END, first);
  if (end === -1) return text;
  const begin = lines.lastIndexOf(BEGIN, end);
  return withoutBlock([...lines.slice(0, begin), ...lines.slice(end + 1)].join("\n"));
}
