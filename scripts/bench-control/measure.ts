/** One database, filled with a fleet: how fast serve starts on it, lists it, and takes what it sends. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { openPostgresCluster } from "../../test/support/postgres.ts";
import { type ServeProcess, startServe } from "../../test/support/serve-process.ts";
import { type LoadFigures, quantile, round } from "./figures.ts";
import { countLost, fillDatabase, makeFleet, readStored } from "./fleet.ts";
import type { LoadOptions, LoadResults } from "./load-options.ts";
import { readCpuSeconds, readMostFiles, readResidentBytes } from "./process.ts";

export interface MeasureOptions {
  /** The program that serves, and its first arguments. */
  readonly program: readonly string[];
  readonly machines: number;
  readonly intervalSeconds: number;
  readonly warmUpSeconds: number;
  readonly measuredSeconds: number;
  /** How often starting and listing are measured. */
  readonly times: number;
  /** Where the databases lie meanwhile. */
  readonly folder: string;
  readonly log: (line: string) => void;
}

export interface DatabaseFigures {
  readonly load: LoadFigures;
  readonly start_ms: number;
  readonly list_ms: number;
}

const ADMIN_TOKEN = "bench-admin";
const SAMPLE_MILLISECONDS = 1000;
/** Files and connections beside those of the machines. */
const SPARE_FILES = 500;

/** Measures SQLite with one process, or a PostgreSQL of its own, which syncs to the disk, with two. */
export async function measureDatabase(
  dialect: "sqlite" | "postgres",
  options: MeasureOptions,
): Promise<DatabaseFigures> {
  const { machines, folder, log } = options;
  if (readMostFiles() < machines + SPARE_FILES) {
    throw new Error(`${machines} connections need \`ulimit -Hn ${machines + SPARE_FILES}\`; it is ${readMostFiles()}`);
  }
  await using stack = new AsyncDisposableStack();
  mkdirSync(folder, { recursive: true });
  const dataDir = mkdtempSync(join(folder, "serve-"));
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const cluster = dialect === "sqlite" ? null : stack.use(await openPostgresCluster(["fsync = on"]));
  const databaseUrl = cluster === null ? null : await cluster.createDatabase();
  const fleet = makeFleet(machines);
  await fillDatabase(dataDir, databaseUrl, fleet, ADMIN_TOKEN);
  const start = () => startServe({ dataDir, databaseUrl, program: options.program });

  const starts: number[] = [];
  for (let i = 0; i < options.times; i += 1) {
    await using serve = await start();
    starts.push(serve.startMilliseconds);
  }
  const start_ms = quantile(starts, 0.5);
  log(`${dialect}: starts within ${start_ms} ms`);

  await using serving = new AsyncDisposableStack();
  const serves = [serving.use(await start())];
  if (dialect === "postgres") serves.push(serving.use(await start()));
  const list_ms = await measureList(serves[0] as ServeProcess, options);
  log(`${dialect}: lists within ${list_ms} ms`);
  const { results, figures } = await measureLoad(serves, options);
  await serving.disposeAsync();
  const lost = countLost(fleet, results.acknowledgedOf, await readStored(dataDir, databaseUrl));
  log(`${dialect}: p99 ${figures.p99_ms} ms, ${figures.sent} sent, ${lost} lost`);
  return { load: { ...figures, lost }, start_ms, list_ms };
}

/** As a client sees it: asked, and read to the end. */
async function measureList({ api }: ServeProcess, { times, machines }: MeasureOptions): Promise<number> {
  const lists: number[] = [];
  for (let i = 0; i < times; i += 1) {
    const before = performance.now();
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const text = await (await fetch(`${api}/machines?limit=${machines}`, { headers })).text();
    lists.push(performance.now() - before);
    const listed = JSON.parse(text).machines.length;
    if (listed !== machines) throw new Error(`${listed} machines are listed of ${machines}`);
  }
  return quantile(lists, 0.5);
}

async function measureLoad(serves: readonly ServeProcess[], options: MeasureOptions) {
  const { machines, intervalSeconds, warmUpSeconds, measuredSeconds } = options;
  const ports = serves.map(({ port }) => port);
  const load: LoadOptions = { machines, ports, intervalSeconds, warmUpSeconds, measuredSeconds };
  const generator = execa(process.execPath, [resolve(import.meta.dir, "load.ts")], {
    env: { LOAD: JSON.stringify(load) },
    stderr: "inherit",
  });
  const memory: number[] = [];
  const cpu: number[] = [];
  const startedAt = performance.now();
  const sampling = setInterval(() => {
    const elapsedSeconds = (performance.now() - startedAt) / 1000;
    if (elapsedSeconds < warmUpSeconds || elapsedSeconds > warmUpSeconds + measuredSeconds) return;
    memory.push(sumOf(serves.map(({ pid }) => readResidentBytes(pid))) / 1e6);
    cpu.push(sumOf(serves.map(({ pid }) => readCpuSeconds(pid))));
  }, SAMPLE_MILLISECONDS);
  try {
    const results: LoadResults = JSON.parse((await generator).stdout);
    const { acknowledgedOf: _, ...told } = results;
    const sampledSeconds = ((cpu.length - 1) * SAMPLE_MILLISECONDS) / 1000;
    const figures = {
      ...told,
      rss_mb: Math.round(Math.max(...memory)),
      rss_first_mb: Math.round(memory[0] ?? 0),
      rss_last_mb: Math.round(memory.at(-1) ?? 0),
      serve_cpu: round(((cpu.at(-1) ?? 0) - (cpu[0] ?? 0)) / sampledSeconds),
    };
    return { results, figures };
  } finally {
    clearInterval(sampling);
    generator.kill("SIGKILL"); // it has ended, or is of no more use
  }
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
