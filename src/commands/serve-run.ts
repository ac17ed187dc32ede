/** `reimage serve` at work: opened, told to end or to read its hosts file again, ended. */

import type { Store } from "../control/server/database/store.ts";
import type { HostsPlan } from "../control/server/decisions/hosts.ts";
import { type HostsFile, openHostsFile } from "../control/server/hosts-file.ts";
import { applyHosts } from "../control/server/operations/hosts.ts";
import type { PowerAdapter } from "../control/server/power/adapter.ts";
import { powerPresets } from "../control/server/power/presets.ts";
import { openServe, type Serve } from "../control/server/serve.ts";
import { asReimageError, describeError, ReimageError } from "../errors.ts";
import { version } from "../version.ts";
import { exitStatus } from "./command.ts";
import { formatLogLine, hidePassword, type Level } from "./serve-log.ts";
import { isLoopback, parseServeOptions, type ServeRequest } from "./serve-options.ts";
import { readTlsFiles } from "./serve-tls.ts";

/** How long requests under way, and clients that never finish theirs, hold up the end. */
const GRACE_MILLISECONDS = 10_000;
const SIGNALS = { SIGTERM: 15, SIGINT: 2 } as const;
type EndSignal = keyof typeof SIGNALS;
const MOST_NAMES = 10;

type Log = (level: Level, text: string) => void;

/** Ends the process itself once it was told to. @throws ReimageError where it cannot start. */
export async function runServe(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const request = parseServeOptions(args, environment);
  const hide = hidePassword(request.databaseUrl);
  const log: Log = (level, text) => void process.stderr.write(formatLogLine(Date.now(), level, hide(text)));
  const told = Promise.withResolvers<EndSignal>();
  listenToSignals(told.resolve, log);
  const hosts = openHosts(request.hostsPath, log);
  const serve = await open(request, hosts, log).catch((thrown: unknown) => {
    const error = asReimageError(thrown);
    const hint = error.hint === undefined ? {} : { hint: hide(error.hint) };
    throw new ReimageError(error.code, hide(describeError(error)), hint);
  });
  let reloading = Promise.resolve();
  process.on("SIGHUP", () => {
    reloading = reloading.then(() => hosts.reload(serve.endpoint.store));
  });
  const database = request.databaseUrl === null ? `SQLite in ${request.dataDir}` : "PostgreSQL (DATABASE_URL)";
  log("info", `reimage ${version} listens on ${serve.url}; database: ${database}`);
  log("info", `${await told.promise}: ends; requests under way are answered first`);
  await reloading;
  const isClean = await close(serve);
  log(isClean ? "info" : "warning", isClean ? "ended" : "ended; some clients were cut off");
  return process.exit(exitStatus.done); // timers of what was cut off would keep the process
}

async function open(request: ServeRequest, hosts: OpenedHosts, log: Log): Promise<Serve> {
  const { hostname, port, dataDir, databaseUrl, facades, trustedProxies, keepDays } = request;
  const tls = request.tls === null ? null : readTlsFiles(request.tls.certPath, request.tls.keyPath, Date.now());
  for (const warning of tls?.warnings ?? []) log("warning", warning);
  if (tls === null && !isLoopback(hostname)) {
    log("warning", `listens on ${hostname} without TLS: tokens can be read on the way. Use --tls-cert and --tls-key`);
  }
  return await openServe({
    ...{ hostname, port, dataDir, databaseUrl, tls, facades, trustedProxies, keepDays },
    ...(request.pxelinux === null ? {} : { pxelinux: request.pxelinux }),
    powerAdapters: hosts.powerAdapters,
    log: (line, level = "info") => log(level, line),
    prepare: hosts.load,
  });
}

/** @returns false where it took too long. */
async function close(serve: Serve): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), GRACE_MILLISECONDS).unref());
  return await Promise.race([serve[Symbol.asyncDispose]().then(() => true), late]);
}

/** The first signal asks for the end, the second is the end. */
function listenToSignals(onFirst: (signal: EndSignal) => void, log: Log): void {
  let isTold = false;
  for (const signal of Object.keys(SIGNALS) as EndSignal[]) {
    process.on(signal, () => {
      if (isTold) {
        log("warning", `${signal} again: ends at once`);
        process.exit(128 + SIGNALS[signal]);
      }
      isTold = true;
      onFirst(signal);
    });
  }
}

/** What the hosts file gives to the endpoint, now and each time that it is read again. */
interface OpenedHosts {
  /** Grows and shrinks with the file. */
  readonly powerAdapters: readonly PowerAdapter[];
  load(store: Store): Promise<void>;
  /** As `load`; what is wrong with the file is logged, and everything stays as it was. */
  reload(store: Store): Promise<void>;
}

/** @param path null: there is no file. @throws ReimageError `config` */
function openHosts(path: string | null, log: Log): OpenedHosts {
  const presets = Object.values(powerPresets);
  const powerAdapters: PowerAdapter[] = [...presets];
  function read(from: string): HostsFile {
    const { hosts, warnings } = openHostsFile(from);
    for (const warning of warnings) log("warning", warning);
    return hosts;
  }
  async function apply(from: string, store: Store, file: HostsFile): Promise<void> {
    const plan = await applyHosts(store, file);
    powerAdapters.splice(0, powerAdapters.length, ...presets, ...file.powerAdapters);
    for (const line of describePlan(plan)) log("info", `${from}: ${line}`);
  }
  const first = path === null ? null : read(path);
  return {
    powerAdapters,
    async load(store) {
      if (path !== null && first !== null) await apply(path, store, first);
    },
    async reload(store) {
      if (path === null) return log("warning", "SIGHUP: there is no hosts file to read again (--hosts)");
      try {
        await apply(path, store, read(path));
      } catch (error) {
        log("error", `everything stays as it was: ${describeError(error)}`);
      }
    },
  };
}

/** What loading a hosts file has changed, in lines for a person (pure). */
export function describePlan({ images, bootConfigurations, machines, left }: HostsPlan): string[] {
  const made = machines.filter(({ isNew }) => isNew).length;
  const counts = [
    ["new machines", made],
    ["changed machines", machines.length - made],
    ["new or changed images", images.length],
    ["new or changed boot configurations", bootConfigurations.length],
  ] as const;
  const told = counts.filter(([, count]) => count > 0).map(([what, count]) => `${what}: ${count}`);
  const kept = Object.entries({ machines: left.machines, images: left.images, configurations: left.bootConfigurations })
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `not in the file, and kept: ${what} ${someOf(names)}`);
  return [told.length === 0 ? "nothing has changed" : told.join(", "), ...kept];
}

function someOf(names: readonly string[]): string {
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
  return `${names.slice(0, MOST_NAMES).join(", ")}${more}`;
}
