/** Keeps passwords out of what is stored, logged and shown (pure). */
import type { PowerAdapter, PowerVariables } from "./adapter.ts";
import { fillText, placeholdersOf } from "./template.ts";

const SECRET_NAME = /pass|secret|token|key$|community|credential/i;

/**
 * The secrets of a command: every variable that goes by the environment, and everything whose name says so. Longest first,
 * so that one that holds another is hidden wholly.
 */
export function secretsOf(adapter: PowerAdapter, variables: PowerVariables): string[] {
  const values = { ...adapter.defaults, ...variables };
  const byEnvironment = new Set(Object.values(adapter.env).flatMap(placeholdersOf));
  const secrets = Object.entries(values)
    .filter(([name]) => name !== "machine" && (byEnvironment.has(name) || SECRET_NAME.test(name)))
    .map(([, value]) => value);
  for (const [name, template] of Object.entries(adapter.env)) {
    const filled = fillText(template, values);
    if (SECRET_NAME.test(name) && "text" in filled) secrets.push(filled.text);
  }
  return [...new Set(secrets.flatMap(spellings))].filter((secret) => secret !== "").sort(longestFirst);
}

const longestFirst = (a: string, b: string) => b.length - a.length;

/** Ways in which a program may print a value. */
function spellings(value: string): string[] {
  const base64 = Buffer.from(value).toString("base64");
  return [value, value.trim(), JSON.stringify(value).slice(1, -1), encodeURIComponent(value.toWellFormed()), base64];
}

/** The text with `<hidden>` in place of each secret, and without control characters that a terminal would obey. */
export function redact(text: string, secrets: readonly string[]): string {
  const secret = new RegExp(secrets.map((each) => RegExp.escape(each)).join("|"), "g");
  const hidden = secrets.length === 0 ? text : text.replace(secret, "<hidden>");
  return hidden.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
}
