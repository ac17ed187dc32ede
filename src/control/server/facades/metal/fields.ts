/** Bodies of requests: JSON objects whose fields have three spellings (`primarydisk`, `primary_disk`, `primaryDisk`). */
import type { Context } from "hono";
import type { z } from "zod";
import { ReimageError } from "../../../../errors.ts";
import { readBody } from "../../security/request-body.ts";

const LARGEST_BODY_BYTES = 1 << 20;

/**
 * The object with its fields in lower case and without underscores, which is what all spellings of one have in common
 * (pure). Only of the object itself: what lies deeper is kept as it is.
 * @throws ReimageError `invalid` where two spellings of one field say different things.
 */
export function foldSpellings(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const folded = new Map<string, unknown>();
  for (const [name, value] of Object.entries(body)) {
    const one = name.replaceAll("_", "").toLowerCase();
    if (folded.has(one) && JSON.stringify(folded.get(one)) !== JSON.stringify(value)) {
      throw new ReimageError("invalid", `${one} is said twice, and differently`);
    }
    folded.set(one, value);
  }
  return Object.fromEntries(folded);
}

/** Reads the body of a request. @throws ReimageError `invalid` naming the field; `too-large`. */
export async function readFields<T extends z.ZodType>(context: Context, schema: T): Promise<z.output<T>> {
  return parseBody(await readBody(context.req.raw, LARGEST_BODY_BYTES, true), schema);
}

/** As `readFields`, of text (pure). @throws ReimageError `invalid` */
export function parseBody<T extends z.ZodType>(text: string, schema: T): z.output<T> {
  let body: unknown;
  try {
    body = text === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw new ReimageError("invalid", "the body is no JSON", { cause });
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ReimageError("invalid", "the body is no JSON object");
  }
  const result = schema.safeParse(foldSpellings(body as Record<string, unknown>));
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 5).map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new ReimageError("invalid", problems.join("; "));
}
