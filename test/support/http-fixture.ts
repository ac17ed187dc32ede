/** What the tests of the web source share: a file on real servers, and reading it back. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import type { HttpOptions } from "../../src/http/options.ts";
import { openHttpSource } from "../../src/http/source.ts";
import { type Certificate, HttpServer, type Script } from "./http-server.ts";

/** Bytes that are different everywhere, and the same in every run. */
export function patternBytes(sizeBytes: number, seed = 1): Buffer {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, sizeBytes);
}

/** A directory with `os.img`, servers for it, and all that went wrong by the way. Ends with its servers. */
export class HttpFixture implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "reimage-http-"));
  readonly content: Buffer;
  readonly notes: string[] = [];
  private readonly stack = new AsyncDisposableStack();

  private constructor(content: Buffer) {
    this.content = content;
    this.stack.defer(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  static async create(content: Buffer = patternBytes(3_000_001)): Promise<HttpFixture> {
    const fixture = new HttpFixture(content);
    await Bun.write(join(fixture.directory, "os.img"), content);
    return fixture;
  }

  async serve(script?: Script, certificate?: Certificate): Promise<HttpServer> {
    return this.stack.use(await HttpServer.start(this.directory, script, certificate));
  }

  /** A server for another directory with other files. */
  async serveOther(files: Readonly<Record<string, Uint8Array>>, script?: Script): Promise<HttpServer> {
    const directory = join(this.directory, `other-${crypto.randomUUID()}`);
    for (const [name, content] of Object.entries(files)) await Bun.write(join(directory, name), content);
    return this.stack.use(await HttpServer.start(directory, script));
  }

  /** Short times, so that nobody waits; a server is silent for 0.3 s at most. */
  options(changes: Partial<HttpOptions> = {}): HttpOptions {
    const notify = (text: string) => void this.notes.push(text);
    return {
      caFile: null,
      timeoutSeconds: 0.3,
      stallSeconds: 20,
      firstPauseSeconds: 0.002,
      notify,
      ...changes,
    };
  }

  /** Opens `os.img` on the servers, reads all of it, and returns it. */
  async readAll(servers: readonly HttpServer[], changes: Partial<HttpOptions> = {}): Promise<Buffer> {
    const urls = servers.map((server) => server.url("/os.img"));
    await using source = await openHttpSource(urls, this.options(changes));
    return await collect(source.read(0, source.sizeBytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}

/** All pieces in one. They are copied at once: a piece is valid until the next one is asked for. */
export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const piece of pieces) copies.push(Buffer.from(piece));
  return Buffer.concat(copies);
}

/** The error that `promise` ends in, as one line with its code. */
export async function errorOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ReimageError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error("it ended well");
}
