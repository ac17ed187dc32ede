/**
 * A real web server for a directory, that can be told to misbehave: it writes HTTP by itself, over bare TCP or TLS, since
 * no library would let it lie. Without a fault it does what RFC 9110 says of GET, HEAD and single ranges.
 */
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { sendAnswer } from "./http-answer.ts";

/** What a request asked for. */
export interface SeenRequest {
  /** Counted over all requests of this server, from 0. */
  readonly index: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
  /** First byte and the one behind the last; null: the whole file. */
  readonly range: { readonly startBytes: number; readonly endBytes: number } | null;
}

/** How to misbehave in one answer. The parts can be combined. */
export interface Fault {
  /** An answer without the file. */
  readonly status?: number;
  /** Headers that replace the right ones; null leaves one out. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** Sends the whole file with status 200 whatever was asked for. */
  readonly ignoreRange?: boolean;
  /** Sends the body in chunks, without its length. */
  readonly chunked?: boolean;
  /** Sent behind the body, as part of it. */
  readonly extra?: Uint8Array;
  /** Sent instead of the body; the headers stay. */
  readonly body?: Uint8Array;
  /** Sends only so much of the body, and then does as `ending` says. */
  readonly onlyBytes?: number;
  /** `close` (the default), `reset` the connection, or `stall`: stay connected and say nothing. */
  readonly ending?: "close" | "reset" | "stall";
  /** Sends so few bytes at a time, with a pause after each. */
  readonly drip?: { readonly bytes: number; readonly everyMs: number };
  /** Sends nothing at all, and stays connected. */
  readonly silent?: boolean;
  /** Closes the connection without an answer. */
  readonly hangUp?: boolean;
  /** Sends exactly these bytes instead of an answer, and closes the connection. */
  readonly raw?: string;
}

/** Decides for each request; null: no fault. */
export type Script = (request: SeenRequest) => Fault | null;

/** Certificate and key in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export class HttpServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** How many connections there ever were. */
  connections = 0;
  script: Script;
  private readonly directory: string;
  private readonly sockets = new Set<Socket>();
  private readonly certificate: Certificate | null;
  private server: Server | null = null;
  private port = 0;

  private constructor(directory: string, script: Script, certificate: Certificate | null) {
    this.directory = directory;
    this.script = script;
    this.certificate = certificate;
  }

  /** Listens on a free port of the loopback device, which a QEMU guest reaches as 10.0.2.2. */
  static async start(directory: string, script: Script = () => null, certificate?: Certificate): Promise<HttpServer> {
    const server = new HttpServer(directory, script, certificate ?? null);
    await server.listen();
    return server;
  }

  /** The URL of a file. @param host another name of this machine, or with a user name: "kiosk:secret@127.0.0.1" */
  url(path: string, host = "127.0.0.1"): string {
    return `${this.certificate === null ? "http" : "https"}://${host}:${this.port}${path}`;
  }

  /** Listens, after `stop` on the same port as before. */
  async listen(): Promise<void> {
    const accept = (socket: Socket) => this.accept(socket);
    this.server = this.certificate === null ? createTcpServer(accept) : createTlsServer(this.certificate, accept);
    this.server.on("tlsClientError", () => {}); // a client that does not trust us is what some tests want
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** Breaks all connections and refuses new ones, as a machine that has lost power. */
  async stop(): Promise<void> {
    const { server } = this;
    this.server = null;
    if (server === null) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private accept(socket: Socket): void {
    this.connections += 1;
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {}); // a client that goes away is what some tests want
    let received = "";
    let answering = Promise.resolve();
    socket.on("data", (data) => {
      received += data.toString("latin1");
      for (let end = received.indexOf("\r\n\r\n"); end >= 0; end = received.indexOf("\r\n\r\n")) {
        const request = this.parse(received.slice(0, end));
        received = received.slice(end + 4);
        answering = answering.then(() => sendAnswer(socket, this.directory, request, this.script(request) ?? {}));
        answering.catch((error) => socket.destroy(error as Error));
      }
    });
  }

  private parse(head: string): SeenRequest {
    const [first = "", ...lines] = head.split("\r\n");
    const [method = "", path = ""] = first.split(" ");
    const headers = new Map(
      lines.map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const [, from, to] = /^bytes=([0-9]+)-([0-9]+)$/.exec(headers.get("range") ?? "") ?? [];
    const range = from === undefined ? null : { startBytes: Number(from), endBytes: Number(to) + 1 };
    const request = { index: this.requests.length, method, path, headers, range };
    this.requests.push(request);
    return request;
  }
}
