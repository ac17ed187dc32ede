/** The configuration in words, for the log and for `reimage plan` (pure). */
import { hideCredentials } from "./names.ts";
import type { Config } from "./schema.ts";

/** One `dotted.key: value` a line. Secrets print as `<hidden>`. */
export function describeConfig(config: Config): string {
  return describe("", config).join("\n");
}

function describe(key: string, value: unknown): string[] {
  if (key === "control.token" && value !== null) return [`${key}: <hidden>`];
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
    return Object.entries(value).flatMap(([name, child]) => describe(key === "" ? name : `${key}.${name}`, child));
  }
  const shown = Array.isArray(value) ? value.map(hidden) : value;
  return [`${key}: ${typeof value === "string" ? hideCredentials(value) : JSON.stringify(shown)}`];
}

function hidden(item: unknown): unknown {
  return typeof item === "string" ? hideCredentials(item) : item;
}
