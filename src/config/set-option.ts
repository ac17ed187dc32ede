/** `--set key=value` (pure). */
import { ReimageError } from "../errors.ts";
import type { Override } from "./resolve.ts";

/**
 * Takes the argument of `--set` apart; the value is everything after the first `=`.
 * @throws ReimageError code `usage`
 */
export function parseSetOption(text: string): Override {
  const equals = text.indexOf("=");
  if (equals <= 0) {
    throw new ReimageError("usage", `--set ${text}: expected key=value`, {
      hint: "for example --set onSuccess=poweroff; docs/configuration.md lists the keys",
    });
  }
  return { key: text.slice(0, equals), value: text.slice(equals + 1), origin: `--set ${text.slice(0, equals)}` };
}
