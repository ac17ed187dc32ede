/** Requests to the endpoint that this page came from. The session is a cookie that scripts cannot read. */
import type { ApiError } from "../protocol/error.ts";

/** An answer that is no success, or none at all (`status` 0, code `unreachable`). */
export class ApiFailure extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | null;
  constructor(status: number, error: ApiError) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.hint = error.hint ?? null;
  }
}

/** What is thrown at this page, as something that can be shown. */
export function asFailure(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiFailure(0, { code: "bug", message: `the page failed: ${message}` });
}

interface Request {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

/** How far the endpoint's clock is ahead of this browser's: ages are counted by the clock that made the times. */
let clockAheadMs = 0;
export const nowOfEndpointMs = () => Date.now() + clockAheadMs;

/**
 * One request below /api/v1.
 * @throws ApiFailure for every answer but a success.
 */
export async function ask<Answer>(path: string, request: Request = {}): Promise<Answer> {
  const response = await send(path, request);
  const text = await response.text();
  return (text === "" ? null : JSON.parse(text)) as Answer;
}

/** As `ask`, with the answer's body still to be read: for the stream. */
export async function send(path: string, { method = "GET", body, idempotencyKey, signal }: Request): Promise<Response> {
  const headers = new Headers({ "x-reimage": "1" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (idempotencyKey !== undefined) headers.set("idempotency-key", idempotencyKey);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: signal ?? null,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiFailure(0, {
      code: "unreachable",
      message: "the endpoint does not answer",
      hint: "nothing is known of what became of the last request; the machines go on without the endpoint",
    });
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isFinite(date)) clockAheadMs = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
  if (!response.ok) throw new ApiFailure(response.status, await readError(response));
  return response;
}

async function readError(response: Response): Promise<ApiError> {
  const fallback = { code: "unknown", message: `the endpoint answers ${response.status} ${response.statusText}` };
  try {
    const { code, message, hint } = (await response.json()) as Partial<ApiError>;
    if (typeof message !== "string") return fallback;
    return { code: String(code), message, ...(typeof hint === "string" ? { hint } : {}) };
  } catch {
    return fallback;
  }
}

/** A new Idempotency-Key. Not crypto.randomUUID: browsers have that under TLS only. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
