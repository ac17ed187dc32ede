/** `target.disk`: `old-root`, `serial=… model=… size=…`, or the same as a mapping (pure). */
import { z } from "zod";
import type { TargetSelector } from "./schema.ts";
import { parseSize } from "./size.ts";

/** The properties by which a disk can be named, as they are written. */
export const TARGET_PROPERTIES = ["serial", "wwn", "path", "model", "size"] as const;
type Property = (typeof TARGET_PROPERTIES)[number];

const expected = "expected old-root, or serial= wwn= path= model= size= of the disk";

/** A properties mapping or a problem in words. */
type Outcome = { readonly selector: TargetSelector } | { readonly problem: string };

/** Splits `serial=ABC model=Samsung SSD 860` at the known names, because values may hold spaces. */
function parseText(text: string): Outcome {
  if (text === "old-root") return { selector: { kind: "old-root", named: true } };
  const starts = [...text.matchAll(/(?:^|\s)(serial|wwn|path|model|size)=/g)];
  if (starts.length === 0 || starts[0]?.index !== 0) {
    const path = text.startsWith("/dev/") ? `; for a device write path=${text}` : "";
    return { problem: `${JSON.stringify(text)} names no disk: ${expected}${path}` };
  }
  const properties: Partial<Record<Property, string>> = {};
  for (const [i, start] of starts.entries()) {
    const name = start[1] as Property;
    const value = text.slice(start.index + start[0].length, starts[i + 1]?.index).trim();
    const unknown = /\s([A-Za-z]+)=/.exec(value)?.[1];
    if (unknown !== undefined) return { problem: `unknown disk property ${JSON.stringify(unknown)}: ${expected}` };
    if (name in properties) return { problem: `${name}= is given twice` };
    properties[name] = value;
  }
  return fromProperties(properties);
}

function fromProperties(properties: Partial<Record<Property, string | number>>): Outcome {
  const { size, ...rest } = properties;
  const names = Object.entries(rest) as [Exclude<Property, "size">, string | number][];
  for (const [name, value] of names) {
    if (typeof value !== "string") return { problem: `${name}: expected text (put a value made of digits in quotes)` };
    if (value.trim() === "") return { problem: `${name} must not be empty` };
  }
  if (typeof rest.path === "string" && !/^\/dev\/[^/]/.test(rest.path)) {
    return { problem: `path: ${JSON.stringify(rest.path)} is not below /dev` };
  }
  if (size === undefined && names.length === 0) return { problem: `names no disk: ${expected}` };
  const matched = rest as { serial?: string; wwn?: string; path?: string; model?: string };
  if (size === undefined) return { selector: { kind: "match", ...matched } };
  const sizeBytes = parseSize(size);
  if (sizeBytes === null) {
    return {
      problem: `size: ${JSON.stringify(size)} is no exact size: expected bytes, or a whole number of kB MB GB TB KiB MiB GiB TiB`,
    };
  }
  return { selector: { kind: "match", ...matched, sizeBytes } };
}

function toSelector(outcome: Outcome, context: z.core.$RefinementCtx): TargetSelector {
  if ("selector" in outcome) return outcome.selector;
  context.addIssue({ code: "custom", message: outcome.problem, input: undefined });
  return z.NEVER;
}

const property = z.union([z.string(), z.number()]).optional();

/** `target.disk` as zod sees it; without a value it is the disk of the old root. */
export const targetSchema = z
  .union(
    [
      z.string().transform((text, context) => toSelector(parseText(text), context)),
      z
        .strictObject({ serial: property, wwn: property, path: property, model: property, size: property })
        .transform((properties, context) => toSelector(fromProperties(definedOnly(properties)), context)),
    ],
    expected,
  )
  .default({ kind: "old-root", named: false });

function definedOnly(properties: Partial<Record<Property, string | number | undefined>>) {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined)) as Partial<
    Record<Property, string | number>
  >;
}
