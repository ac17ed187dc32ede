/** One request to one server: redirections, timeouts and certificates. Never a proxy, never a decoded body. */
import { type Address, redirectedAddress } from "./address.ts";
import { connectionTrouble, Trouble } from "./trouble.ts";

const mostRedirections = 10;

/** How long to wait, and who is told that bytes came. */
export interface Clock {
  /** How long the next wait may last, in milliseconds. */
  waitMs(): number;
  arrived(): void;
}

/** What all requests share. */
export interface Connection {
  /** PEM; null: the built-in CAs. */
  readonly ca: string | null;
  /** Ends every request; its reason is what they throw. */
  readonly signal: AbortSignal;
}

/** An answer. Its body comes only as fast as it is pulled: the rest waits at the server. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The next bytes of the body; null at its end. @throws Trouble where the connection breaks, or is silent for too long. */
  pull(clock: Clock): Promise<Uint8Array | null>;
  /** Ends the request, and the connection too if the body is not at its end. */
  close(): void;
}

/**
 * Sends a GET request and waits for the head of the answer.
 * @throws Trouble where there is none.
 */
export async function request(
  address: Address,
  headers: Readonly<Record<string, string>>,
  connection: Connection,
  clock: Clock,
): Promise<Answer> {
  let to = address;
  for (let redirections = 0; redirections <= mostRedirections; redirections++) {
    const answer = await send(to, headers, connection, clock);
    if (![301, 302, 303, 307, 308].includes(answer.status)) return answer;
    answer.close();
    to = redirectedAddress(to, answer.headers.get("location"));
  }
  throw new Trouble("lasting", `redirects more than ${mostRedirections} times`);
}

async function send(
  address: Address,
  headers: Readonly<Record<string, string>>,
  { ca, signal }: Connection,
  clock: Clock,
): Promise<Answer> {
  forgetProxies();
  signal.throwIfAborted();
  const abort = new AbortController();
  const stop = () => abort.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const close = () => {
    signal.removeEventListener("abort", stop);
    abort.abort();
  };
  const explain = (thrown: unknown) => {
    close();
    if (signal.aborted) return signal.reason;
    return thrown instanceof Trouble ? thrown : connectionTrouble(thrown);
  };
  try {
    const response = await within(
      clock.waitMs(),
      fetch(address.url, {
        headers: {
          ...headers,
          "accept-encoding": "identity",
          "user-agent": "reimage",
          ...(address.authorization === null ? {} : { authorization: address.authorization }),
        },
        redirect: "manual",
        decompress: false,
        verbose: false,
        signal: abort.signal,
        // Said aloud, since NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch it off.
        tls: { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) },
      }),
    );
    const reader = response.body?.getReader();
    return {
      status: response.status,
      headers: response.headers,
      close,
      async pull(clock) {
        try {
          while (reader !== undefined) {
            const { value, done } = await within(clock.waitMs(), reader.read());
            if (done) break;
            clock.arrived();
            if (value.length > 0) return value;
          }
          signal.removeEventListener("abort", stop);
          return null;
        } catch (thrown) {
          throw explain(thrown);
        }
      },
    };
  } catch (thrown) {
    throw explain(thrown);
  }
}

async function within<T>(waitMs: number, promise: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    timeout.reject(new Trouble("passing", `was silent for ${Math.round(waitMs / 100) / 10} s`));
  }, waitMs);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * fetch obeys these variables, and cannot be told not to. The kernel gives every unknown name=value of its command line to
 * init as a variable, so one could be there by mistake.
 */
export function forgetProxies(): void {
  for (const name of ["http_proxy", "https_proxy", "all_proxy"]) {
    delete process.env[name];
    delete process.env[name.toUpperCase()];
  }
}
