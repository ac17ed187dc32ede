/** HTTP to /api/v1 for the command line: one server, one token, answers checked against the protocol. */
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { type ErrorCode, ReimageError } from "../../errors.ts";
import { forgetProxies } from "../../http/request.ts";
import { connectionTrouble } from "../../http/trouble.ts";
import { apiErrorSchema } from "../protocol/error.ts";

/** An answer, as it was sent and as it is understood. */
export interface Answer<T> {
  readonly text: string;
  readonly value: T;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

export interface SendOptions {
  readonly body?: unknown;
  /** Makes a request that is sent again the same request: it is tried again where its answer is lost. */
  readonly idempotencyKey?: string;
}

export interface FleetClient {
  /** The address, for messages. */
  readonly server: string;
  /** @param path below /api/v1 @throws ReimageError in the server's words, or `control` where it cannot be reached. */
  get<T>(path: string, schema: z.ZodType<T>): Promise<Answer<T>>;
  /** As `get`. @param schema null where there is nothing in the answer. */
  send<T>(
    method: Exclude<Method, "GET">,
    path: string,
    schema: z.ZodType<T> | null,
    options?: SendOptions,
  ): Promise<Answer<T>>;
  /** Opens a stream of server-sent events. @throws as `get` */
  stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

export interface FleetClientOptions {
  /** What stands before /api/v1. */
  readonly server: string;
  readonly token: string;
  /** Where the token came from, for messages. */
  readonly tokenFile: string;
  /** PEM; null: the built-in CAs. */
  readonly ca: string | null;
  readonly version: string;
}

const TIMEOUT_MS = 60_000;
const PAUSES_MS = [500, 1000, 2000];
const MOST_ANSWER_BYTES = 128 << 20;

export function createFleetClient(options: FleetClientOptions): FleetClient {
  const server = options.server.replace(/\/+$/, "");

  async function once(method: Method, path: string, { body, idempotencyKey }: SendOptions, signal: AbortSignal) {
    forgetProxies(); // whoever is in between would see the token
    return await fetch(`${server}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${options.token}`,
        "user-agent": `reimage/${options.version}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: "manual", // whoever is redirected to would be sent the token
      signal,
      tls: { rejectUnauthorized: true, ...(options.ca === null ? {} : { ca: options.ca }) },
    });
  }

  async function ask(method: Method, path: string, sendOptions: SendOptions): Promise<string> {
    const isRepeatable = method === "GET" || method === "PUT" || sendOptions.idempotencyKey !== undefined;
    for (let tries = 0; ; tries += 1) {
      const pause = PAUSES_MS[tries];
      let trouble: ReimageError;
      try {
        const response = await once(method, path, sendOptions, AbortSignal.timeout(TIMEOUT_MS));
        const text = await readText(response, server);
        if (response.ok) return text;
        trouble = refusalOf(response, text);
        if (response.status < 502 && response.status !== 429) throw trouble;
      } catch (thrown) {
        if (thrown instanceof ReimageError) throw thrown;
        trouble = unreachable(thrown);
        // Nobody is there: no request has been lost on the way.
        const isAbsent = tries === 0 && /refused/i.test(codeOf(thrown));
        if (isAbsent || connectionTrouble(thrown).kind === "lasting") throw trouble;
      }
      if (!isRepeatable || pause === undefined) throw trouble;
      await sleep(pause);
    }
  }

  function unreachable(thrown: unknown): ReimageError {
    const isLate = thrown instanceof Error && thrown.name === "TimeoutError";
    const why = isLate ? `has not answered within ${TIMEOUT_MS / 1000} s` : connectionTrouble(thrown, "--ca").message;
    return new ReimageError("control", `${server} ${why}`, { hint: hintFor(codeOf(thrown), server) });
  }

  function refusalOf(response: Response, text: string): ReimageError {
    const said = apiErrorSchema.safeParse(parseJson(text));
    const { status } = response;
    if (!said.success) {
      const where = status >= 300 && status < 400 ? ", that is, somewhere else" : "";
      return new ReimageError("control", `${server} answered ${status}${where}: that is no endpoint of reimage`, {
        hint: "--server must be the address that reimage serve listens on, without a path",
      });
    }
    const { message, hint } = said.data;
    const own =
      status === 401
        ? `the token is that of ${options.tokenFile}: it may have been revoked, or be another server's`
        : hint;
    return new ReimageError(codes[status] ?? "control", message, own === undefined ? {} : { hint: own });
  }

  async function answer<T>(method: Method, path: string, schema: z.ZodType<T> | null, sendOptions: SendOptions) {
    const text = await ask(method, path, sendOptions);
    if (schema === null) return { text, value: undefined as T };
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return { text, value: parsed.data };
    throw new ReimageError(
      "control",
      `${server} answers in a way that reimage ${options.version} does not understand`,
      {
        hint: "use the version that the server has (GET /api/v1/health tells)",
      },
    );
  }

  return {
    server,
    get: (path, schema) => answer("GET", path, schema, {}),
    send: (method, path, schema, sendOptions = {}) => answer(method, path, schema, sendOptions),
    async stream(path, signal) {
      let response: Response;
      try {
        response = await once("GET", path, {}, signal);
      } catch (thrown) {
        throw unreachable(thrown);
      }
      if (!response.ok || response.body === null) throw refusalOf(response, await readText(response, server));
      return response.body;
    },
  };
}

const codes: Readonly<Record<number, ErrorCode>> = {
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  413: "too-large",
  429: "too-many",
  502: "power",
  503: "unavailable",
};

async function readText(response: Response, server: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of response.body ?? []) {
    sizeBytes += piece.length;
    if (sizeBytes > MOST_ANSWER_BYTES) throw new ReimageError("control", `${server} gave an answer that has no end`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
}

function hintFor(code: string, server: string): string {
  if (/CERT|SIGNATURE|ALTNAME|HOSTNAME/.test(code)) {
    return "--ca FILE names the CA's certificate; the address must be one that the certificate is for";
  }
  if (/refused/i.test(code))
    return "is reimage serve running there? It listens on loopback unless --listen says otherwise";
  if (server.startsWith("http:")) return "check --server; if it uses TLS, its address begins with https://";
  return "check --server, and the network to it";
}
