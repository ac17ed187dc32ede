/**
 * `make test-power`: records whole runs, cuts their power at many instants, and boots what is left on the disk each time.
 * A machine that comes up neither in its old nor in its complete new system, with its identity, is dead, and a failure.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { $, chalk, echo } from "zx";
import { shell } from "../kiosk/cache.ts";
import { bootState, type Judged } from "./boot-state.ts";
import { chooseStates, type OpenHistory, openHistory } from "./choose.ts";
import { runControl } from "./control.ts";
import { type CrashState, stateOf } from "./crash-states.ts";
import { openFastFolder } from "./fast-folder.ts";
import { changedProgram, findMutant } from "./mutants.ts";
import { beforePath, keptRecording, type Recording, record, variablesOf } from "./recording.ts";
import { appendResult, type Result, readResults, resultsFolder } from "./results.ts";
import { nameOf, type Scenario } from "./scenario.ts";
import { isLeftAlone, keepSnapshots, type Snapshots } from "./snapshot.ts";
import { openStateImages } from "./state-images.ts";
import { parseSweepOptions, type SweepOptions, sweepUsage } from "./sweep-options.ts";

const recordings = "build/power/recordings";
const failures = "build/power/failures";

async function sweep(scenario: Scenario, options: SweepOptions, commit: string): Promise<{ dead: number }> {
  const name = nameOf(scenario);
  const mutant = scenario.mutant === null ? null : findMutant(scenario.mutant);
  const program = mutant === null ? "build/reimage" : await changedProgram(mutant.name, mutant.changes);
  if (mutant?.control !== undefined) {
    const wrong = await runControl(
      recordings,
      scenario,
      await changedProgram(`${mutant.name}-control`, mutant.control),
    );
    if (wrong !== null)
      throw new Error(`${mutant.name}: with the safety in place the same fault ends otherwise: ${wrong}`);
    echo(`${mutant.name}: with the safety in place the same fault leads back to the old system`);
  }
  const recording =
    (options.resume ? keptRecording(recordings, scenario) : null) ?? (await record(recordings, scenario, program));
  using run = openHistory(recording);
  const { history } = run;
  const phase = options.phase ?? mutant?.phase ?? null;
  const path = join(resultsFolder, `${name}.jsonl`);
  const done = new Set(
    readResults(path)
      .filter(({ recording: id, seed }) => options.resume && id === recording.id && seed === options.seed)
      .map(({ id }) => id),
  );
  if (!options.resume) rmSync(path, { force: true });
  const { states, same } = chooseStates(recording, run, { ...options, phase });
  echo(
    `${name}: run ${recording.id} took ${recording.seconds} s, ${history.writes.length} writes, ${history.epochs.length} epochs; ` +
      `${states.length} states (${same} more hold the same bytes as one of them), ${done.size} judged before`,
  );
  const { index, count } = options.shard;
  const wanted =
    options.only === null
      ? states.filter((state, i) => i % count === index && !done.has(state.id))
      : [stateOf(history, options.only, options.seed)];
  using fast = openFastFolder();
  // A mutant may not even get that far; and one state alone is looked at from its beginning.
  const isPlain = mutant === null && options.only === null && scenario.system === "small";
  const snapshots = isPlain ? keepSnapshots(scenario, fast.path) : null;
  const start = performance.now();
  const progress = { judged: 0, dead: 0, total: wanted.length, start };
  const hands = Array.from({ length: options.workers }, (_, worker) =>
    wanted.filter((_, i) => i % options.workers === worker),
  );
  await Promise.all(
    hands.map((hand, worker) =>
      work(hand, {
        recording,
        run,
        folder: join(fast.path, String(worker)),
        options,
        path,
        commit,
        progress,
        snapshots,
      }),
    ),
  );
  const minutes = (performance.now() - start) / 60_000;
  echo(
    `${name}: ${progress.judged} states in ${minutes.toFixed(1)} minutes (${(progress.judged / minutes).toFixed(1)} a minute), ${progress.dead} dead`,
  );
  return { dead: progress.dead };
}

interface Work {
  readonly recording: Recording;
  readonly run: OpenHistory;
  /** Null: every machine is started from reset. */
  readonly snapshots: Snapshots | null;
  readonly folder: string;
  readonly options: SweepOptions;
  /** Where the results go. */
  readonly path: string;
  readonly commit: string;
  readonly progress: { judged: number; dead: number; readonly total: number; readonly start: number };
}

/** Boots one state after the other, in the order of the run. A mutant need not be caught twice. */
async function work(
  states: readonly CrashState[],
  { recording, run, snapshots, folder, options, path, commit, progress }: Work,
): Promise<void> {
  mkdirSync(folder);
  const [rolling, disk] = [join(folder, "rolling.img"), join(folder, "state.img")];
  await shell`cp --sparse=always ${beforePath(recording)} ${rolling}`;
  using images = openStateImages(run.history, run.written, rolling);
  const { scenario } = recording;
  for (const state of states) {
    if (scenario.mutant !== null && progress.dead > 0) return;
    const begin = performance.now();
    await images.make(state, disk);
    const variables = variablesOf(recording, state.id);
    const phase = run.phases[state.epoch] ?? "arming";
    const known = isLeftAlone(state) ? null : snapshots;
    const { serial, ...judged } = await bootState(recording, disk, variables.path, known);
    const date = new Date().toISOString();
    const facts: Omit<Result, keyof Judged | "seconds" | "commit" | "date"> = {
      scenario,
      recording: recording.id,
      seed: options.seed,
      id: state.id,
      variables: variables.when,
      phase,
    };
    const seconds = (performance.now() - begin) / 1000;
    const result: Result = { ...facts, ...judged, seconds, commit, date };
    appendResult(path, result);
    progress.judged += 1;
    echo(`${nameOf(scenario)} ${progress.judged}/${progress.total} ${describe(result)}`);
    if (judged.outcome !== "dead" && options.only === null) continue;
    if (judged.outcome === "dead") progress.dead += 1;
    await keep(state, recording, disk, serial, result, run);
  }
}

function describe({ id, phase, start, outcome, reason, boots, seconds, cpuSeconds }: Result): string {
  const words = `${outcome}${reason === null ? "" : `: ${reason}`}`;
  const colour = outcome === "dead" ? chalk.red : chalk.green;
  return `${id} (${phase}) ${colour(words)} [from ${start}: ${boots.join(", ")}; ${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU]`;
}

/** Keeps the disk as the machine found it and as it left it, and what the machine said. */
async function keep(
  state: CrashState,
  recording: Recording,
  disk: string,
  serial: string,
  result: Result,
  run: OpenHistory,
): Promise<void> {
  const folder = join(failures, `${nameOf(recording.scenario)}-${result.seed}-${state.id}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await shell`cp --sparse=always ${disk} ${join(folder, "after.img")}`;
  const before = join(folder, "rolling.img");
  await shell`cp --sparse=always ${beforePath(recording)} ${before}`;
  using images = openStateImages(run.history, run.written, before);
  await images.make(state, join(folder, "before.img"));
  rmSync(before);
  writeFileSync(join(folder, "serial.txt"), serial);
  writeFileSync(join(folder, "result.json"), JSON.stringify({ ...result, state }, null, 2));
  echo(`kept in ${folder}`);
}

const options = (() => {
  try {
    return parseSweepOptions(process.argv.slice(2));
  } catch (error) {
    echo(`${error instanceof Error ? error.message : error}\n${sweepUsage}`);
    process.exit(2);
  }
})();
const commit = (await $({ quiet: true })`git rev-parse --short HEAD`).stdout.trim();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
let isFine = true;
for (const scenario of options.scenarios) {
  const { dead } = await sweep(scenario, options, commit);
  if (scenario.mutant !== null)
    echo(dead > 0 ? chalk.green(`${scenario.mutant} is caught`) : chalk.red(`${scenario.mutant} is not caught`));
  isFine &&= scenario.mutant === null ? dead === 0 : dead > 0;
}
process.exitCode = isFine ? 0 : 1;
