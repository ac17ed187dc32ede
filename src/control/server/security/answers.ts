/** What holds for every request and every answer, whatever the route. */
import type { MiddlewareHandler } from "hono";
import { ReimageError } from "../../../errors.ts";

/** What a route does not say otherwise. No answer allows another origin anything: there are no CORS headers. */
const usualHeaders: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Adds the headers that keep browsers from guessing, keeping and framing. */
export const secureAnswers: MiddlewareHandler = async (context, next) => {
  await next();
  for (const [name, value] of Object.entries(usualHeaders)) {
    if (!context.res.headers.has(name)) context.res.headers.set(name, value);
  }
};

const MOST_URL_CHARACTERS = 4096;

/** Refuses addresses that no route is meant by. */
export const plainAddresses: MiddlewareHandler = async (context, next) => {
  const { url } = context.req;
  if (url.length > MOST_URL_CHARACTERS) {
    throw new ReimageError("too-large", `the address is longer than ${MOST_URL_CHARACTERS} characters`);
  }
  // PostgreSQL knows no text with NUL, and nothing is named so.
  if (url.includes("%00")) throw new ReimageError("invalid", "the address holds a NUL character");
  await next();
};
