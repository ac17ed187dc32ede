/** `reimage serve`, put together: database, routes, TLS. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ReimageError } from "../../errors.ts";
import { API_PATH, addProblems, addProtections, createApi } from "./api/app.ts";
import { type Bindings, createApp, type Endpoint } from "./api/context.ts";
import { openStore, type Store } from "./database/store.ts";
import { type FacadeOptions, mountFacades } from "./facades/mount.ts";
import { type ListenOptions, listen } from "./listen.ts";
import { SERVE } from "./operations/actor.ts";
import { createEventIntake } from "./operations/events.ts";
import { createPowerService, failForgottenJobs } from "./operations/power.ts";
import { openPruning } from "./operations/prune.ts";
import { createFirstAdmin } from "./operations/tokens.ts";
import { createPages } from "./pages.ts";
import type { PowerAdapter } from "./power/adapter.ts";
import { createPowerQueue } from "./power/jobs.ts";
import { openPxelinuxProjection, type PxelinuxSettings } from "./pxelinux-projection.ts";
import type { AddressRange } from "./security/address-range.ts";
import { createLimiter, type Limits, usualLimits } from "./security/limits.ts";

export interface ServeOptions extends Pick<ListenOptions, "hostname" | "port" | "tls"> {
  readonly dataDir: string;
  /** `postgres://…`; null: SQLite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** Looked at with each job: whoever hands it in may change it later. */
  readonly powerAdapters: readonly PowerAdapter[];
  readonly facades: FacadeOptions;
  /** A pxelinux.cfg directory to be kept as the deployments say; left out: none. */
  readonly pxelinux?: PxelinuxSettings;
  /** A line for the operator of the endpoint. Never holds a token. */
  readonly log: (line: string, level?: "info" | "error") => void;
  /** What has to be in the database before the first request is answered. Where it throws, none is. */
  readonly prepare?: (store: Store) => Promise<void>;
  /** Load balancers before this process: only what they say of their callers is believed. */
  readonly trustedProxies?: readonly AddressRange[];
  /** What differs from `usualLimits`. */
  readonly limits?: Partial<Limits>;
  readonly now?: () => number;
  /** How long events are kept; runs and their reports are kept for ever. */
  readonly keepDays: number;
}

/** A running endpoint. Disposing ends it: requests under way are answered. */
export interface Serve extends AsyncDisposable {
  readonly url: string;
  readonly endpoint: Endpoint;
}

const POWER_JOBS = 8;
const POWER_JOB_SECONDS = 1800;

/** @throws ReimageError `database`, `config` */
export async function openServe(options: ServeOptions): Promise<Serve> {
  const { dataDir, databaseUrl, log, now = Date.now } = options;
  const onError = (error: unknown) => {
    log(error instanceof Error ? (error.stack ?? error.message) : String(error), "error");
  };
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore({ dataDir, databaseUrl, onError, now }));
  const stopping = new AbortController();
  const limits = { ...usualLimits, ...options.limits };
  const queue = stack.use(createPowerQueue({ parallel: POWER_JOBS, jobTimeoutSeconds: POWER_JOB_SECONDS }));
  const pxelinux =
    options.pxelinux === undefined ? null : stack.use(await openPxelinuxProjection(store, options.pxelinux, log));
  const endpoint: Endpoint = {
    store,
    pxelinux,
    takeEvents: createEventIntake(store),
    power: createPowerService(store, options.powerAdapters, queue, onError),
    onError,
    isTls: options.tls !== null,
    limiter: createLimiter(limits),
    stopping: stopping.signal,
  };
  await failForgottenJobs(store, POWER_JOB_SECONDS * 1000);
  const tokenPath = join(dataDir, "admin.token");
  if (await createFirstAdmin(store, SERVE, (token) => keepToken(tokenPath, token))) {
    log(`the first admin token is in ${tokenPath}`);
  }
  await options.prepare?.(store);
  stack.use(openPruning(store, options.keepDays, onError));

  const app = createApp();
  addProtections(app);
  app.route(API_PATH, createApi(endpoint));
  app.route("/", createPages());
  mountFacades(app, endpoint, options.facades);
  addProblems(app, endpoint);
  const { hostname, port, tls, trustedProxies = [] } = options;
  const server = listen(
    { hostname, port, tls, trustedProxies, requestSeconds: limits.requestSeconds },
    (request, address) => app.fetch(request, { address } satisfies Bindings),
  );
  stack.defer(async () => {
    stopping.abort();
    await server.stop();
  });
  const kept = stack.move();
  return {
    url: server.url,
    endpoint,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Keeps the token in a file, for a log is read by more people. @throws ReimageError `config` */
function keepToken(path: string, token: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${token}\n`, { mode: 0o600, flush: true });
    chmodSync(path, 0o600);
  } catch (cause) {
    throw new ReimageError("config", `the first admin token cannot be kept in ${path}`, {
      cause,
      hint: "check the directory given by --data, its owner and the free space",
    });
  }
}
