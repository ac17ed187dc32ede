/** `reimage serve`, put together: database, routes, TLS. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "bun";
import { ReimageError } from "../../errors.ts";
import { API_PATH, addProblems, createApi } from "./api/app.ts";
import { type Bindings, createApp, type Endpoint } from "./api/context.ts";
import { openStore, type Store } from "./database/store.ts";
import { type FacadeOptions, mountFacades } from "./facades/mount.ts";
import { SERVE } from "./operations/actor.ts";
import { createEventIntake } from "./operations/events.ts";
import { createPowerService, failForgottenJobs } from "./operations/power.ts";
import { createToken, hasAdmin } from "./operations/tokens.ts";
import { createPages } from "./pages.ts";
import type { PowerAdapter } from "./power/adapter.ts";
import { createPowerQueue } from "./power/jobs.ts";

export interface ServeOptions {
  readonly hostname: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly dataDir: string;
  /** `postgres://…`; null: SQLite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** PEM texts; null: without TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Looked at with each job: whoever hands it in may change it later. */
  readonly powerAdapters: readonly PowerAdapter[];
  readonly facades: FacadeOptions;
  /** A line for the operator of the endpoint. Never holds a token. */
  readonly log: (line: string, level?: "info" | "error") => void;
  /** What has to be in the database before the first request is answered. Where it throws, none is. */
  readonly prepare?: (store: Store) => Promise<void>;
  readonly now?: () => number;
}

/** A running endpoint. Disposing ends it: requests under way are answered. */
export interface Serve extends AsyncDisposable {
  readonly url: string;
  readonly endpoint: Endpoint;
}

const LARGEST_BODY_BYTES = 1 << 20;
const IDLE_SECONDS = 30;
const POWER_JOBS = 8;
const POWER_JOB_SECONDS = 300;

/** @throws ReimageError `database`, `config` */
export async function openServe(options: ServeOptions): Promise<Serve> {
  const { dataDir, databaseUrl, log, now = Date.now } = options;
  const onError = (error: unknown) => {
    log(error instanceof Error ? (error.stack ?? error.message) : String(error), "error");
  };
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore({ dataDir, databaseUrl, onError, now }));
  const stopping = new AbortController();
  const queue = stack.use(createPowerQueue({ parallel: POWER_JOBS, jobTimeoutSeconds: POWER_JOB_SECONDS }));
  const endpoint: Endpoint = {
    store,
    takeEvents: createEventIntake(store),
    power: createPowerService(store, options.powerAdapters, queue, onError),
    onError,
    isTls: options.tls !== null,
    stopping: stopping.signal,
  };
  await failForgottenJobs(store, POWER_JOB_SECONDS * 1000);
  if (!(await hasAdmin(store))) await makeFirstToken(endpoint, dataDir, log);
  await options.prepare?.(store);

  const app = createApp();
  app.route(API_PATH, createApi(endpoint));
  app.route("/", createPages());
  mountFacades(app, endpoint, options.facades);
  addProblems(app, endpoint);
  const server = listen(options, (request, address) => app.fetch(request, { address } satisfies Bindings));
  stack.defer(async () => {
    stopping.abort();
    await server.stop();
  });
  const kept = stack.move();
  const scheme = options.tls === null ? "http" : "https";
  return {
    url: `${scheme}://${options.hostname.includes(":") ? `[${options.hostname}]` : options.hostname}:${server.port}`,
    endpoint,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function listen(
  options: ServeOptions,
  answer: (request: Request, address: string | null) => Response | Promise<Response>,
): Server<undefined> {
  try {
    return Bun.serve({
      hostname: options.hostname,
      port: options.port,
      maxRequestBodySize: LARGEST_BODY_BYTES,
      idleTimeout: IDLE_SECONDS,
      ...(options.tls === null ? {} : { tls: { cert: options.tls.cert, key: options.tls.key } }),
      fetch: (request, server) => answer(request, server.requestIP(request)?.address ?? null),
    });
  } catch (cause) {
    throw new ReimageError("config", `cannot listen on ${options.hostname} port ${options.port}`, {
      cause,
      hint: "check --listen, and whether something listens there already; a TLS key must fit its certificate",
    });
  }
}

/** The token that all others are made with; in a file, for a log is read by more people. */
async function makeFirstToken(endpoint: Endpoint, dataDir: string, log: (line: string) => void): Promise<void> {
  const { token } = await createToken(endpoint.store, SERVE, { name: "first", role: "admin", expiresInSeconds: null });
  const path = join(dataDir, "admin.token");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(path, `${token}\n`, { mode: 0o600 });
  chmodSync(path, 0o600);
  log(`the first admin token is in ${path}`);
}
