/** Lines of `reimage serve` for its log: a time, a level, and nothing that must not be there. */
import { showPlainly } from "../control/view/plain-text.ts";

export type Level = "info" | "warning" | "error";

/** One event in one record: what spans lines is indented (pure). */
export function formatLogLine(timeMs: number, level: Level, text: string): string {
  const plain = showPlainly(text.trimEnd()).replaceAll("\n", "\n    ");
  return `${new Date(timeMs).toISOString()} ${level.padEnd(7)} ${plain}\n`;
}

const SHORTEST_WORD = 4;

/** Makes what takes the password of a database's address out of a text, in both of its spellings (pure). */
export function hidePassword(databaseUrl: string | null): (text: string) => string {
  const written = databaseUrl === null ? "" : new URL(databaseUrl).password;
  if (databaseUrl === null || written === "") return (text) => text;
  const spellings = [written, decode(written)].flatMap((word) => [
    [`:${word}@`, ":<hidden>@"] as const,
    // A password such as `a` would take every a out of the log.
    ...(word.length < SHORTEST_WORD ? [] : [[word, "<hidden>"] as const]),
  ]);
  return (text) => spellings.reduce((rest, [word, instead]) => rest.replaceAll(word, instead), text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
