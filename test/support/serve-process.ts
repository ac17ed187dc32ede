/** `reimage serve` as a process of its own: one that can be killed. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { execa } from "execa";

export interface ServeProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  /** The address of /api/v1. */
  readonly api: string;
  /** From the start of the process to its first answer. */
  readonly startMilliseconds: number;
  /** What it has written to standard error. */
  readonly log: () => string;
  /** Whether it is still running. */
  readonly isAlive: () => boolean;
  /** As a crash, or a power cut of the program alone: kill -9. */
  kill(): Promise<void>;
}

export interface ServeProcessOptions {
  readonly dataDir: string;
  readonly databaseUrl?: string | null;
  /** None: any free one. */
  readonly port?: number;
  /** The program and its first arguments; reimage as it stands in the source, unless another is named. */
  readonly program?: readonly string[];
}

const MOST_START_MILLISECONDS = 30_000;
const LOOK_MILLISECONDS = 2;

/** A port that is free now. */
export async function freePort(): Promise<number> {
  return await new Promise((done, fail) => {
    const server = createServer();
    server.on("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Starts serve, and waits until it answers. @throws Error with what it has said where it ends instead. */
export async function startServe(options: ServeProcessOptions): Promise<ServeProcess> {
  const { dataDir, databaseUrl = null } = options;
  const port = options.port ?? (await freePort());
  const api = `http://127.0.0.1:${port}/api/v1`;
  const [program = "", ...args] = options.program ?? [process.execPath, resolve(import.meta.dir, "../../src/main.ts")];
  const startedAt = performance.now();
  const child = execa(program, [...args, "serve", "--listen", `127.0.0.1:${port}`, "--data", dataDir], {
    ...{ reject: false, stdin: "ignore", stdout: "ignore", buffer: false },
    env: databaseUrl === null ? {} : { DATABASE_URL: databaseUrl },
  });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  let isAlive = true;
  const ended = child.then(() => {
    isAlive = false;
  });
  for (;;) {
    const answer = await fetch(`${api}/health`).catch(() => null);
    if (answer?.status === 200) break;
    if (!isAlive || performance.now() - startedAt > MOST_START_MILLISECONDS) {
      child.kill("SIGKILL");
      await ended;
      throw new Error(`serve did not start: ${log}`);
    }
    await Bun.sleep(LOOK_MILLISECONDS);
  }
  const startMilliseconds = performance.now() - startedAt;
  return {
    ...{ pid: child.pid ?? 0, port, api, startMilliseconds, log: () => log, isAlive: () => isAlive },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** The token that serve has made for its first admin. */
export function firstToken(dataDir: string): string {
  return readFileSync(join(dataDir, "admin.token"), "utf8").trim();
}

/** An answer, or null where there was none: the connection was refused, or broke. */
export type MaybeAnswer = { readonly status: number; readonly headers: Headers; readonly body: unknown } | null;

/** A request that may find nobody. */
export async function ask(method: string, url: string, token: string | null, body?: unknown): Promise<MaybeAnswer> {
  try {
    const response = await fetch(url, {
      method,
      headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
  } catch {
    return null;
  }
}

/** As `ask`; throws where the answer is no success, and returns its body. */
export async function must<T>(method: string, url: string, token: string, body?: unknown): Promise<T> {
  const answer = await ask(method, url, token, body);
  if (answer !== null && answer.status < 300) return answer.body as T;
  throw new Error(`${method} ${url}: ${answer?.status} ${JSON.stringify(answer?.body)}`);
}

export interface EnrolledMachine {
  readonly id: string;
  readonly token: string;
}

/** Enrols a machine by a code. */
export async function enrolMachine(api: string, adminToken: string): Promise<EnrolledMachine> {
  const { code } = await must<{ code: string }>("POST", `${api}/enrolment-codes`, adminToken, {});
  const id = randomUUID();
  const token = randomBytes(32).toString("base64url");
  const tokenSha256 = createHash("sha256").update(token).digest("hex");
  await must("POST", `${api}/enrol`, adminToken, { machineId: id, macs: [], tokenSha256, code });
  return { id, token };
}
