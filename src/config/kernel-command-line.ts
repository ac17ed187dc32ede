/** The `reimage.` keys on the kernel command line (pure). */
import type { Override } from "./resolve.ts";

const PREFIX = "reimage.";

/**
 * Takes every `reimage.<dotted.key>=<value>` from the text of /proc/cmdline, in order. Double quotes work as in the
 * kernel (next_arg in lib/cmdline.c): around the value or around the whole argument, so that it may hold spaces.
 */
export function parseKernelCommandLine(text: string): Override[] {
  const overrides: Override[] = [];
  for (const argument of splitArguments(text)) {
    const wholeQuoted = argument.startsWith('"');
    const inner = wholeQuoted ? argument.slice(1) : argument;
    if (!inner.startsWith(PREFIX)) continue;
    const equals = inner.indexOf("=");
    const key = equals < 0 ? inner : inner.slice(0, equals);
    let value = equals < 0 ? "" : inner.slice(equals + 1);
    const quoted = wholeQuoted || value.startsWith('"');
    if (value.startsWith('"')) value = value.slice(1);
    if (quoted && value.endsWith('"')) value = value.slice(0, -1);
    overrides.push({ key: key.slice(PREFIX.length), value, origin: "the kernel command line" });
  }
  return overrides;
}

/** Arguments with their quotes: white space separates them outside double quotes only (pure). */
export function splitArguments(text: string): string[] {
  return text.match(/(?:"[^"]*(?:"|$)|[^ \t\n\v\f\r"])+/g) ?? [];
}
