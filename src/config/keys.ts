/** The keys of the configuration, taken from its schema (pure). */
import { z } from "zod";
import { configSchema } from "./schema.ts";

/**
 * How the value of a key is written on a command line: as it is (`text`), as YAML (`yaml`: numbers, true, lists), as YAML
 * or one mount point at a time (`mounts`). A `section` as a whole can only be switched off.
 */
export type KeyKind = "text" | "yaml" | "mounts" | "section";

/** Every dotted key and how its value is written. */
export const configKeys: ReadonlyMap<string, KeyKind> = new Map(collect(configSchema, ""));

/** Every dotted key and every section: what an unknown key may have meant. */
export const knownWords: readonly string[] = [
  ...new Set([...configKeys.keys()].flatMap((key) => [key.replace(/\..*/, ""), key])),
];

function collect(schema: z.core.$ZodType, key: string): [string, KeyKind][] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    const below = Object.entries(inner.shape).flatMap(([name, child]) =>
      collect(child, key === "" ? name : `${key}.${name}`),
    );
    return inner === schema ? below : [[key, "section"], ...below];
  }
  if (inner instanceof z.ZodRecord) return [[key, "mounts"]];
  const isYaml = inner instanceof z.ZodNumber || inner instanceof z.ZodBoolean || inner instanceof z.ZodArray;
  return [[key, isYaml ? "yaml" : "text"]];
}

/** The schema inside defaults and nullables. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodNullable ? unwrap(schema.unwrap()) : schema;
}
