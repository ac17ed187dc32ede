/** Stands before a real endpoint, and lets it fail: answers that are lost, refused, late, or never given. */
import type { Certificate } from "./http-server.ts";

/** What a request was. */
export interface SeenMessage {
  /** Counted from 0. */
  readonly index: number;
  /** The last part of the path: `events`, `report`, `instructions`, `abort-reinstall`, `enrol`. */
  readonly what: string;
  readonly url: string;
  readonly authorization: string | null;
  readonly body: Record<string, unknown>;
  readonly atMs: number;
}

/** `pass`: as it should be. `lose`: it is done, and its answer is lost. `silent`: taken, and never answered. */
export type EndpointFault =
  | "pass"
  | "lose"
  | "silent"
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: unknown };

export interface FaultyEndpoint extends AsyncDisposable {
  readonly url: string;
  readonly seen: SeenMessage[];
  script: (message: SeenMessage) => EndpointFault;
}

/** @param to the URL of the real one; where there is none, every request must be answered by the script */
export async function startFaultyEndpoint(
  to: string | null,
  script: FaultyEndpoint["script"] = () => "pass",
  certificate?: Certificate,
): Promise<FaultyEndpoint> {
  const seen: SeenMessage[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    ...(certificate === undefined ? {} : { tls: certificate }),
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const text = await request.text();
      const message: SeenMessage = {
        index: seen.length,
        what: pathname.slice(pathname.lastIndexOf("/") + 1),
        url: request.url,
        authorization: request.headers.get("authorization"),
        body: JSON.parse(text || "{}"),
        atMs: performance.now(),
      };
      seen.push(message);
      const fault = endpoint.script(message);
      if (fault === "silent") return await new Promise<Response>(() => {});
      if (typeof fault === "object") {
        return Response.json(fault.body ?? { code: "test", message: "as the test wants" }, {
          status: fault.status,
          headers: fault.headers ?? {},
        });
      }
      if (to === null) throw new Error("there is no real endpoint behind this one");
      const headers = new Headers(request.headers);
      headers.delete("host");
      const answer = await fetch(`${to}${pathname}`, { method: request.method, headers, body: text });
      if (fault === "lose") return new Response("", { status: 502 });
      return new Response(await answer.arrayBuffer(), { status: answer.status, headers: answer.headers });
    },
  });
  const endpoint: FaultyEndpoint = {
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${server.port}`,
    seen,
    script,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return endpoint;
}
