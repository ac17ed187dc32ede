/** Answers that are no success: `{"statuscode", "message"}`, in the statuses that this protocol's clients expect. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { asReimageError, type ErrorCode, ReimageError } from "../../../../errors.ts";
import { asStoreError } from "../../database/failures.ts";

export type MetalStatus = 400 | 401 | 403 | 404 | 406 | 409 | 413 | 417 | 422 | 429 | 500 | 504;

export function refuse(context: Context, statuscode: MetalStatus, message: string): Response {
  return context.json({ statuscode, message }, statuscode);
}

const statuses: Partial<Record<ErrorCode, MetalStatus>> = {
  "not-found": 404,
  conflict: 409,
  forbidden: 403,
  unauthorized: 401,
  "too-large": 413,
  "too-many": 429,
  bug: 500,
  database: 500,
  unavailable: 500,
};

/** As metal-api maps them: whatever is not named is 422 (pure). */
export function apiStatus(code: ErrorCode): MetalStatus {
  return statuses[code] ?? 422;
}

/** The answer to what was thrown. @param statusOf the status of a code on this route. */
export function metalProblem(
  context: Context,
  thrown: unknown,
  onBug: (error: unknown) => void,
  statusOf: (code: ErrorCode) => MetalStatus = apiStatus,
): Response {
  if (thrown instanceof HTTPException) return refuse(context, thrown.status === 413 ? 413 : 400, thrown.message);
  const error = asStoreError(asReimageErrorOr(thrown));
  if (error.code === "bug") {
    onBug(thrown);
    return refuse(context, 500, "something went wrong here; the log of this endpoint tells more");
  }
  return refuse(
    context,
    statusOf(error.code),
    error.hint === undefined ? error.message : `${error.message} (${error.hint})`,
  );
}

/** Errors of the database's driver are told apart by `asStoreError`; everything else is one of ours already. */
function asReimageErrorOr(thrown: unknown): unknown {
  return thrown instanceof ReimageError || thrown instanceof Error ? thrown : asReimageError(thrown);
}

export function notFound(id: string): ReimageError {
  return new ReimageError("not-found", `no machine with id ${JSON.stringify(id.slice(0, 64))} found`);
}
