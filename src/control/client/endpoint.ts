/** One request to the control endpoint: JSON there and back, no proxy, no redirect, and an end in any case. */
import type { ControlConfig } from "../../config/schema.ts";
import { readCertificates } from "../../http/connection.ts";
import { forgetProxies } from "../../http/request.ts";
import { connectionTrouble } from "../../http/trouble.ts";
import { onOneLine } from "../../report/format.ts";
import { Refusal } from "./refusal.ts";

/** What the endpoint answered to a request that it took (2xx). */
export interface Reply {
  readonly status: number;
  /** Parsed JSON; null where there was none. */
  readonly body: unknown;
}

export interface Endpoint {
  /** For messages: the address without anything secret. */
  readonly name: string;
  /**
   * Sends a message. @param path below `/api/v1`
   * @throws Refusal where the endpoint did not take it, or could not be reached; the reason of `signal` once it is aborted.
   */
  post(path: string, message: unknown, signal?: AbortSignal): Promise<Reply>;
  /** How much the endpoint's clock is ahead of this machine's, from its last answer; null: it has not said, or nothing plausible. */
  clockAheadMs(): number | null;
}

export interface EndpointOptions {
  readonly config: Pick<ControlConfig, "url" | "ca" | "timeoutSeconds">;
  /** What to identify with; null: nothing. Asked before each request. */
  token(): string | null;
  readonly version: string;
}

const mostAnswerBytes = 1 << 20;

/** @throws ReimageError `config` where the CA certificates cannot be read. */
export async function openEndpoint({ config, token, version }: EndpointOptions): Promise<Endpoint> {
  const ca = config.ca === null ? null : await readCertificates(config.ca, "control.ca");
  const base = config.url.replace(/\/+$/, "");
  let aheadMs: number | null = null;

  async function post(path: string, message: unknown, signal?: AbortSignal): Promise<Reply> {
    forgetProxies();
    signal?.throwIfAborted();
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal?.addEventListener("abort", stop, { once: true });
    let isSilent = false;
    const timer = setTimeout(() => {
      isSilent = true;
      abort.abort();
    }, config.timeoutSeconds * 1000);
    try {
      const secret = token();
      const response = await fetch(`${base}/api/v1${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          "accept-encoding": "identity",
          "user-agent": `reimage/${version}`,
          ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
        },
        body: JSON.stringify(message),
        redirect: "manual", // whoever is redirected to would be sent the token
        decompress: false,
        verbose: false,
        signal: abort.signal,
        // Said aloud, since NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch it off.
        tls: { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) },
      });
      const text = await readText(response);
      aheadMs = aheadBy(response.headers.get("date"), Date.now()) ?? aheadMs;
      const body = parseJson(text);
      if (response.status < 200 || response.status > 299) throw refusalOf(response, body);
      return { status: response.status, body };
    } catch (thrown) {
      signal?.throwIfAborted();
      if (thrown instanceof Refusal) throw thrown;
      if (isSilent) throw new Refusal("passing", null, `has not answered within ${config.timeoutSeconds} s`);
      throw unreachable(thrown);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
  return { name: base, post, clockAheadMs: () => aheadMs };
}

async function readText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of response.body ?? []) {
    sizeBytes += piece.length;
    if (sizeBytes > mostAnswerBytes) throw new Refusal("lasting", response.status, "gave an answer that has no end");
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // what is needed of an answer is checked where it is needed
  }
}

const hints: Readonly<Record<number, string>> = {
  400: "the endpoint does not understand what this version of reimage says: use versions that fit",
  401: "the token is missing or not the right one: enrol this machine (reimage enroll), or correct control.token",
  403: "the token is another machine's, or waits for approval: approve this machine, or correct control.machine",
  404: "control.url leads to no control endpoint, or it does not know this machine: enrol it (reimage enroll)",
  413: "the endpoint, or a proxy before it, takes no message of this size: raise its limit",
};

/** What an answer means that is no success. */
function refusalOf(response: Response, body: unknown): Refusal {
  const { status, headers } = response;
  if (status >= 300 && status < 400) {
    const reason = `answered ${status}: it is somewhere else, and redirects are not followed`;
    return new Refusal("lasting", status, reason, { hint: "set control.url to where the endpoint is" });
  }
  const said = typeof body === "object" && body !== null && "message" in body ? String(body.message) : "";
  const words = onOneLine(said)
    .replace(/\p{Cc}/gu, " ")
    .slice(0, 300); // it ends up on a console
  const reason = `answered ${status}${words === "" ? "" : ` (${words})`}`;
  const isPassing = status >= 500 || status === 408 || status === 425 || status === 429;
  const retryAfter = headers.get("retry-after") ?? "";
  const pauseSeconds = /^[0-9]{1,4}$/.test(retryAfter) ? Number(retryAfter) : 0;
  const hint = hints[status];
  return new Refusal(isPassing ? "passing" : "lasting", status, reason, {
    pauseSeconds,
    ...(hint === undefined ? {} : { hint }),
  });
}

function unreachable(thrown: unknown): Refusal {
  const { kind, message } = connectionTrouble(thrown, "control.ca");
  const isClock = /is not valid yet|has expired/.test(message);
  const hint = isClock
    ? "compare that with the date of today: if this machine's clock is wrong, set it (date -s, then hwclock --systohc, or in the firmware's setup); else renew the certificate"
    : undefined;
  return new Refusal(kind === "passing" ? "passing" : "lasting", null, message, hint === undefined ? {} : { hint });
}

/** How much a Date header is ahead of a clock (pure); null for none, or one that no server's clock says today. */
export function aheadBy(date: string | null, nowMs: number): number | null {
  const serverMs = Date.parse(date ?? "");
  const isPlausible = serverMs > Date.UTC(2024, 0) && serverMs < Date.UTC(2100, 0);
  return isPlausible ? serverMs - nowMs : null;
}
