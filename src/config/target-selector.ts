/** `target.disk`: `old-root`, `serial=… model=… size=…`, or the same as a mapping (pure). */
import { z } from "zod";
import { nearest } from "./nearest.ts";
import { parseSize } from "./size.ts";

/**
 * Which disk is the target. `old-root`: the disk that holds `old.root`; `named` says whether the operator wrote that
 * down, or it is only the default. `match`: the one disk for which every given property holds.
 */
export type TargetSelector =
  | { readonly kind: "old-root"; readonly named: boolean }
  | {
      readonly kind: "match";
      readonly serial?: string;
      readonly wwn?: string;
      readonly path?: string;
      readonly model?: string;
      readonly sizeBytes?: number;
    };

/** The properties by which a disk can be named, as they are written. */
export const TARGET_PROPERTIES = ["serial", "wwn", "path", "model", "size"] as const;
type Property = (typeof TARGET_PROPERTIES)[number];

const EXPECTED = "expected old-root, or one or more of serial= wwn= path= model= size=";

/** What `target.disk` says, or what is wrong with it. */
type Outcome = { readonly selector: TargetSelector } | { readonly problem: string };

/** Takes the value of `target.disk` apart, as text or as a mapping. */
export function parseTargetSelector(value: unknown): Outcome {
  if (value === "old-root") return { selector: { kind: "old-root", named: true } };
  if (typeof value === "string") return parseText(value);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return fromProperties(value);
  return { problem: EXPECTED };
}

/** Splits `serial=ABC model=Samsung SSD 860` at the known names, because values may hold spaces. */
function parseText(text: string): Outcome {
  const starts = [...text.matchAll(/(?:^|\s)(serial|wwn|path|model|size)=/g)];
  const properties: Record<string, string> = {};
  for (const [i, start] of starts.entries()) {
    const name = start[1] ?? "";
    if (name in properties) return { problem: `${name}= is given twice` };
    properties[name] = text.slice(start.index + start[0].length, starts[i + 1]?.index).trim();
  }
  // Whatever else looks like name= is a misspelt property, and not a part of the value before it.
  const unknown = [...text.matchAll(/(?:^|\s)([A-Za-z]+)=/g)]
    .map((match) => match[1] ?? "")
    .filter((name) => !isProperty(name));
  if (unknown[0] !== undefined) return { problem: unknownProperty(unknown[0]) };
  if (starts[0]?.index !== 0) {
    const path = text.startsWith("/dev/") ? `; for this device write path=${text}` : "";
    return { problem: `${JSON.stringify(text)} names no disk: ${EXPECTED}${path}` };
  }
  return fromProperties(properties);
}

function fromProperties(properties: object): Outcome {
  const texts: { serial?: string; wwn?: string; path?: string; model?: string } = {};
  let sizeBytes: number | null = null;
  for (const [name, value] of Object.entries(properties) as [string, unknown][]) {
    if (!isProperty(name)) return { problem: unknownProperty(name) };
    if (name === "size") {
      sizeBytes = typeof value === "string" || typeof value === "number" ? parseSize(value) : null;
      if (sizeBytes === null) return { problem: `size ${JSON.stringify(value)} is not exact: ${SIZE_EXPECTED}` };
    } else if (typeof value !== "string") {
      return { problem: `${name}: expected text (put a value made of digits in quotes)` };
    } else if (value.trim() === "" || /[\0-\x1f\x7f]/.test(value)) {
      return { problem: `${name} must be one line of text and not empty` };
    } else if (name === "path" && !/^\/dev\/[^/]/.test(value)) {
      return { problem: `path ${JSON.stringify(value)} is not below /dev` };
    } else {
      texts[name] = value;
    }
  }
  if (sizeBytes !== null) return { selector: { kind: "match", ...texts, sizeBytes } };
  if (Object.keys(texts).length === 0) return { problem: EXPECTED };
  return { selector: { kind: "match", ...texts } };
}

const SIZE_EXPECTED = "expected bytes, or a whole number of kB, MB, GB, TB, KiB, MiB, GiB or TiB";

function isProperty(name: string): name is Property {
  return (TARGET_PROPERTIES as readonly string[]).includes(name);
}

function unknownProperty(name: string): string {
  return `unknown disk property ${JSON.stringify(name)}; did you mean ${nearest(name, TARGET_PROPERTIES)}?`;
}

/** `target.disk` for the schema; without a value it is the disk of the old root. */
export const targetSchema = z
  .unknown()
  .transform((value, context): TargetSelector => {
    const outcome = parseTargetSelector(value);
    if ("selector" in outcome) return outcome.selector;
    context.addIssue(outcome.problem);
    return z.NEVER;
  })
  .default({ kind: "old-root", named: false });
