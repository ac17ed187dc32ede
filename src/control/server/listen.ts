/** The socket: TLS, the limits of a connection, and where requests come from. */
import type { Server } from "bun";
import { ReimageError } from "../../errors.ts";
import type { AddressRange } from "./security/address-range.ts";
import { clientAddress } from "./security/client-address.ts";
import { MOST_BODY_BYTES } from "./security/limits.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM texts; null: without TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Load balancers before this process: what they say of their callers is believed. */
  readonly trustedProxies: readonly AddressRange[];
  /** Connections whose request, or whose reading of the answer, does not get on for so long are cut. */
  readonly requestSeconds: number;
}

export interface Listening {
  readonly url: string;
  /** Takes no more connections, and ends when the requests under way are answered; whatever takes longer is cut. */
  stop(): Promise<void>;
}

/** How long requests under way may take when the endpoint is stopped. */
const STOP_MILLISECONDS = 5000;

/**
 * Answers requests. The runtime's own server sees to the connection: headers of 16 KiB at most (431), contradictory lengths
 * (400), TLS 1.2 and later, and a time limit that trickling bytes do not extend.
 * @throws ReimageError `config` where the address cannot be used, or key and certificate are no pair.
 */
export function listen(
  options: ListenOptions,
  answer: (request: Request, address: string | null) => Response | Promise<Response>,
): Listening {
  const { hostname, port, tls, trustedProxies, requestSeconds } = options;
  let server: Server<undefined>;
  try {
    server = Bun.serve({
      hostname,
      port,
      maxRequestBodySize: MOST_BODY_BYTES,
      idleTimeout: requestSeconds,
      ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
      fetch(request, connection) {
        const peer = connection.requestIP(request)?.address ?? null;
        return answer(request, clientAddress(peer, request.headers.get("x-forwarded-for"), trustedProxies));
      },
    });
  } catch (cause) {
    throw cannotListen(options, cause);
  }
  const scheme = tls === null ? "http" : "https";
  return {
    url: `${scheme}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${server.port}`,
    async stop() {
      const ended = server.stop();
      const timer = setTimeout(() => void server.stop(true), STOP_MILLISECONDS); // nobody holds it up by being slow
      await ended;
      clearTimeout(timer);
    },
  };
}

function cannotListen({ hostname, port }: ListenOptions, cause: unknown): ReimageError {
  const text = cause instanceof Error ? cause.message : "";
  if (text.includes("KEY_VALUES_MISMATCH")) {
    return new ReimageError("config", "the TLS key does not belong to the certificate", {
      cause,
      hint: "give the key that the certificate was made for; the server's own certificate comes first in its file",
    });
  }
  if (/PEM routines|X\.509|NO_START_LINE|asn1/i.test(text)) {
    return new ReimageError("config", "the TLS certificate or its key cannot be read", {
      cause,
      hint: "both are needed in PEM: -----BEGIN CERTIFICATE-----, and -----BEGIN PRIVATE KEY----- without a passphrase",
    });
  }
  return new ReimageError("config", `cannot listen on ${hostname} port ${port}`, {
    cause,
    hint: "check --listen, and whether something listens there already",
  });
}
