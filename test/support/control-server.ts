/** A real endpoint for tests, on SQLite and on PostgreSQL. */
import { afterAll, describe } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WireEvent } from "../../src/control/protocol/run.ts";
import { openServe, type Serve, type ServeOptions } from "../../src/control/server/serve.ts";
import { openPostgresCluster, type PostgresCluster } from "./postgres.ts";

export type Answer = { readonly status: number; readonly body: unknown; readonly headers: Headers };

/** A machine with a token, as it would speak. */
export interface TestMachine {
  readonly id: string;
  readonly mac: string;
  readonly token: string;
  post(what: "instructions" | "events" | "report" | "abort-reinstall", body: unknown): Promise<Answer>;
}

export interface TestServe extends AsyncDisposable {
  readonly serve: Serve;
  readonly url: string;
  readonly dataDir: string;
  readonly databaseUrl: string | null;
  readonly adminToken: string;
  /** What the endpoint has logged. */
  readonly log: readonly string[];
  /** A request to /api/v1 as the admin, or with another token (null: without). */
  api(
    method: string,
    path: string,
    body?: unknown,
    token?: string | null,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** As `api`; throws where the answer is no success, and returns its body. */
  must<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** Enrols a machine by a code. */
  enrol(): Promise<TestMachine>;
}

export type OpenServe = (options?: Partial<ServeOptions>) => Promise<TestServe>;

const databases = ["sqlite", "postgres"] as const;

/** Declares the tests of `declare` twice: on SQLite, and on a PostgreSQL that this file's first test starts. */
export function eachDatabase(name: string, declare: (open: OpenServe, dialect: "sqlite" | "postgres") => void): void {
  let cluster: Promise<PostgresCluster> | null = null;
  afterAll(async () => {
    if (cluster !== null) await (await cluster)[Symbol.asyncDispose]();
  });
  describe.each([...databases])(`${name} on %s`, (dialect) => {
    declare(async (options = {}) => {
      if (dialect === "sqlite") return await openTestServe(options);
      cluster ??= openPostgresCluster();
      const databaseUrl = options.databaseUrl ?? (await (await cluster).createDatabase());
      return await openTestServe({ ...options, databaseUrl });
    }, dialect);
  });
}

/** Opens an endpoint on a port of its own. */
export async function openTestServe(options: Partial<ServeOptions> = {}): Promise<TestServe> {
  const temporary = options.dataDir === undefined ? mkdtempSync(join(tmpdir(), "reimage-serve-")) : null;
  const dataDir = options.dataDir ?? temporary ?? "";
  const log: string[] = [];
  const defaults = {
    hostname: "127.0.0.1",
    port: 0,
    databaseUrl: null,
    tls: null,
    powerAdapters: [],
    keepDays: 90,
    facades: { names: [], clients: [] },
  };
  const opening = openServe({ ...defaults, log: (line) => log.push(line), ...options, dataDir });
  const serve = await opening.catch((error) => {
    if (temporary !== null) rmSync(temporary, { recursive: true, force: true });
    throw error;
  });
  const adminToken = readFileSync(join(dataDir, "admin.token"), "utf8").trim();

  async function api(
    method: string,
    path: string,
    body?: unknown,
    token: string | null = adminToken,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`${serve.url}/api/v1${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  }
  async function must<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await api(method, path, body);
    if (answer.status < 300) return answer.body as T;
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
  return {
    serve,
    url: serve.url,
    dataDir,
    databaseUrl: options.databaseUrl ?? null,
    adminToken,
    log,
    api,
    must,
    async enrol() {
      const { code } = await must<{ code: string }>("POST", "/enrolment-codes", {});
      const id = randomUUID();
      const mac = `52:54:00:${randomBytes(3)
        .toString("hex")
        .replace(/(..)(?=.)/g, "$1:")}`;
      const token = randomBytes(32).toString("base64url");
      const tokenSha256 = createHash("sha256").update(token).digest("hex");
      await must("POST", "/enrol", { machineId: id, macs: [mac], tokenSha256, code });
      return { id, mac, token, post: (what, body) => api("POST", `/machines/${id}/${what}`, body, token) };
    },
    async [Symbol.asyncDispose]() {
      await serve[Symbol.asyncDispose]();
      if (temporary !== null) rmSync(temporary, { recursive: true, force: true });
    },
  };
}

/** An event as a run sends it. */
export function event(seq: number, body: Record<string, unknown> & { type: string }): WireEvent {
  return { seq, time: new Date(1_700_000_000_000 + seq * 1000).toISOString(), ...body };
}

/** A report.json that proves success. */
export function goodReport(imageId: string, change: Record<string, unknown> = {}) {
  return {
    schemaVersion: 1,
    outcome: "success",
    stage: "restore",
    target: "complete",
    reason: null,
    image: { id: imageId, sha256: "a".repeat(64) },
    readback: "b".repeat(64),
    ...change,
  };
}

export const oldOs = { image_id: "os-1", primary_disk: "/dev/sda" };
