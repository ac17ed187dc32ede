/** Errors as answers. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { asReimageError, type ErrorCode } from "../../../errors.ts";
import type { ApiError } from "../../protocol/error.ts";
import { TooOften } from "../security/token-bucket.ts";

type Status = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 422 | 429 | 500 | 503;

const statuses: Partial<Record<ErrorCode, Status>> = {
  invalid: 400,
  usage: 400,
  config: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "too-large": 413,
  unverified: 422,
  "too-many": 429,
  power: 502 as Status,
  database: 503,
  unavailable: 503,
};

/** The status of an error (pure); whatever has none is a mistake of ours: 500. */
export function statusOf(code: ErrorCode): Status {
  return statuses[code] ?? 500;
}

/** The answer to what was thrown. @param onBug is told of what was not expected; the caller learns that it happened. */
export function problem(context: Context, thrown: unknown, onBug: (error: unknown) => void): Response {
  if (thrown instanceof HTTPException) {
    const code = thrown.status === 413 ? "too-large" : "invalid";
    return context.json({ code, message: thrown.message } satisfies ApiError, thrown.status);
  }
  const error = asReimageError(thrown);
  const status = statusOf(error.code);
  if (status === 500) {
    onBug(thrown);
    return context.json(
      { code: "bug", message: "something went wrong here; the log of this endpoint tells more" },
      500,
    );
  }
  const { code, message, hint } = error;
  if (status === 401) context.header("WWW-Authenticate", 'Bearer realm="reimage"');
  if (status === 429 || status === 503) {
    context.header("Retry-After", String(error instanceof TooOften ? error.retryAfterSeconds : 5));
  }
  return context.json({ code, message, ...(hint === undefined ? {} : { hint }) } satisfies ApiError, status);
}
