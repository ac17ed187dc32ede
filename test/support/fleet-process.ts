/** `reimage serve` and `reimage fleet` as their users start them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CliResult } from "./cli.ts";

const main = join(import.meta.dir, "..", "..", "src", "main.ts");

export interface ServeProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly dataDir: string;
  readonly tokenFile: string;
  /** What it has written to standard error so far. */
  log(): string;
  /** Resolves when the log holds the text (again: `times`); throws where the process ends before. */
  said(text: string, times?: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>;
  /** Runs `reimage fleet` against it. */
  fleet(...args: string[]): Promise<CliResult>;
}

export interface ServeProcessOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A directory that outlives the process. */
  readonly dataDir?: string;
}

/** Starts `reimage serve` on a port of its own, and waits until it listens. */
export async function startServe(options: ServeProcessOptions = {}): Promise<ServeProcess> {
  const temporary = options.dataDir === undefined ? mkdtempSync(join(tmpdir(), "reimage-serve-")) : null;
  const dataDir = options.dataDir ?? temporary ?? "";
  const program = [process.execPath, main, "serve", "--listen", "127.0.0.1:0", "--data", dataDir];
  const { DATABASE_URL: _, ...environment } = process.env;
  const subprocess = Bun.spawn([...program, ...(options.args ?? [])], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ...environment, ...options.env },
  });
  let log = "";
  let wake = Promise.withResolvers<void>();
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const piece of subprocess.stderr) {
      log += decoder.decode(piece, { stream: true });
      wake.resolve();
      wake = Promise.withResolvers();
    }
  })();
  const ended = (async () => {
    await subprocess.exited;
    await reading;
    const signal = subprocess.signalCode === null ? null : String(subprocess.signalCode);
    return { exitCode: subprocess.exitCode, signal };
  })();
  async function said(text: string, times = 1): Promise<void> {
    while (log.split(text).length <= times) {
      const how = await Promise.race([wake.promise, ended]);
      if (how !== undefined && log.split(text).length <= times) throw new Error(`serve has ended: ${log}`);
    }
  }
  async function dispose(): Promise<void> {
    subprocess.kill("SIGKILL");
    await ended;
    if (temporary !== null) rmSync(temporary, { recursive: true, force: true });
  }
  try {
    await said(" listens on ");
  } catch (error) {
    await dispose();
    throw error;
  }
  const url = / listens on (\S+);/.exec(log)?.[1] ?? "";
  const tokenFile = join(dataDir, "admin.token");
  return {
    pid: subprocess.pid,
    url,
    dataDir,
    tokenFile,
    log: () => log,
    said,
    kill: (signal) => subprocess.kill(signal),
    exited: ended,
    fleet: (...args) => runFleet(args, { REIMAGE_SERVER: url, REIMAGE_TOKEN_FILE: tokenFile }),
    [Symbol.asyncDispose]: dispose,
  };
}

/** Runs `reimage fleet`; without a terminal. */
export async function runFleet(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CliResult> {
  const subprocess = startFleet(args, env);
  const [stdout, stderr] = await Promise.all([
    new Response(subprocess.stdout).text(),
    new Response(subprocess.stderr).text(),
  ]);
  await subprocess.exited;
  return {
    exitCode: subprocess.exitCode ?? -1,
    signal: subprocess.signalCode === null ? null : String(subprocess.signalCode),
    stdout,
    stderr,
  };
}

/** Starts `reimage fleet`, for those that go on. */
export function startFleet(args: readonly string[], env: Readonly<Record<string, string>>) {
  return Bun.spawn([process.execPath, main, "fleet", ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
}

/** A request to /api/v1 with the first admin token. */
export async function adminApi(serve: ServeProcess, method: string, path: string, body?: unknown) {
  const token = readFileSync(serve.tokenFile, "utf8").trim();
  const response = await fetch(`${serve.url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}
