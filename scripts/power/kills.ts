/**
 * Part of `make test-power`: the program is killed, the memory runs out, the kernel panics, at random instants of runs from the
 * lifeboat, and each machine is judged as after a power cut.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { $, chalk, echo } from "zx";
import { shell } from "../kiosk/cache.ts";
import { armDisk } from "./armed.ts";
import { judgeMachine } from "./boot-state.ts";
import { openFastFolder } from "./fast-folder.ts";
import { appendKillResult, type KillResult, readKillResults } from "./kill-results.ts";
import { type Kind, kinds, planStrikes, type Timeline } from "./strikes.ts";
import { runStruck, type StruckRun, strikable } from "./struck-machine.ts";

const usage = `bun scripts/power/kills.ts [options]
  --instants N   how often runs are hit: half of it is SIGKILL, a quarter each memory and panic (default 200)
  --kind NAME    only ${Object.keys(kinds).join(", ")}
  --seed N       (default 1)
  --resume       go on with what was judged before with this program`;

const failures = "build/power/failures";
/** Of one run. /init starts a program that dies 20 times; a panic takes the longest. */
const strikesPerRun: Readonly<Record<Kind, number>> = { kill: 10, oom: 8, panic: 6 };
const shares: Readonly<Record<Kind, number>> = { kill: 0.5, oom: 0.25, panic: 0.25 };

const { values } = parseArgs({
  options: {
    instants: { type: "string", default: "200" },
    kind: { type: "string" },
    seed: { type: "string", default: "1" },
    resume: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [instants, seed] = [Number(values.instants), Number(values.seed)];
const wanted = (Object.keys(kinds) as Kind[]).filter((kind) => values.kind === undefined || values.kind === kind);
if (values.help || wanted.length === 0 || !Number.isInteger(instants) || !Number.isInteger(seed)) {
  echo(usage);
  process.exit(values.help ? 0 : 2);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

const commit = (await $({ quiet: true })`git rev-parse --short HEAD`).stdout.trim();
const armed = await armDisk("struck", "build/reimage", strikable);
using fast = openFastFolder();
const before = readKillResults().filter((result) => values.resume && result.armed === armed.id && result.seed === seed);
const timeline = before[0]?.timeline ?? (await measure());
let isFine = true;
for (const kind of wanted) isFine = (await strikeAll(kind, Math.ceil(instants * shares[kind]))) && isFine;
process.exitCode = isFine ? 0 : 1;

/** A run that nothing hits: it has to end well, and shows how long everything takes. */
async function measure(): Promise<Timeline> {
  const { run, outcome, reason } = await strike([]);
  if (outcome !== "new") throw new Error(`a run that nothing hits did not end in the new system: ${reason}`);
  echo(`a run that nothing hits takes ${run.seconds.toFixed(0)} s`);
  return run.timeline;
}

/** Makes runs until so many instants were hit. @returns whether no machine is dead */
async function strikeAll(kind: Kind, quota: number): Promise<boolean> {
  const results: KillResult[] = before.filter((result) => result.kind === kind);
  const hits = () => results.flatMap(({ struck }) => struck).filter(({ hit }) => hit !== null).length;
  const mostRuns = Math.ceil((3 * quota) / strikesPerRun[kind]);
  for (let run = 0; hits() < quota && run < mostRuns; run += 1) {
    if (results.some((result) => result.run === run)) continue;
    const count = Math.min(strikesPerRun[kind], quota - hits());
    const plan = planStrikes(timeline, { seed, kind, run, count });
    const judged = await strike(plan);
    const { outcome, reason, boots } = judged;
    const facts = { armed: armed.id, seed, kind, run, timeline, commit, date: new Date().toISOString() };
    const result: KillResult = {
      ...facts,
      outcome,
      reason,
      boots,
      struck: judged.run.struck,
      seconds: judged.run.seconds,
    };
    appendKillResult(result);
    results.push(result);
    const words = `${outcome}${reason === null ? "" : `: ${reason}`}`;
    const colour = outcome === "dead" ? chalk.red : chalk.green;
    const instantsHit = result.struck.map(
      ({ state, hit, means }) => `${means} ${state}${hit === null ? " missed" : ""}`,
    );
    echo(
      `${kind} ${run}: ${colour(words)} [${instantsHit.join(", ")}; ${result.seconds.toFixed(0)} s], ${hits()} of ${quota}`,
    );
    if (outcome === "dead") await keep(join(failures, `${kind}-${seed}-${run}`), judged, result);
  }
  const dead = results.filter(({ outcome }) => outcome === "dead").length;
  echo(`${kind}: ${hits()} instants in ${results.length} runs, ${dead} dead`);
  return dead === 0 && hits() >= quota;
}

interface JudgedRun extends Pick<KillResult, "outcome" | "reason" | "boots"> {
  readonly run: StruckRun;
  readonly disk: string;
}

async function strike(strikes: Parameters<typeof runStruck>[2]): Promise<JudgedRun> {
  const disk = join(fast.path, "disk.img");
  rmSync(disk, { force: true });
  await shell`cp --sparse=always ${armed.disk} ${disk}`;
  const run = await runStruck(armed, disk, strikes);
  return { ...(await judgeMachine(run, disk, armed)), run, disk };
}

async function keep(folder: string, { run, disk }: JudgedRun, result: KillResult): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  if (existsSync(disk)) await shell`cp --sparse=always ${disk} ${join(folder, "after.img")}`;
  writeFileSync(join(folder, "serial.txt"), run.serial);
  writeFileSync(join(folder, "result.json"), JSON.stringify(result, null, 2));
  echo(`kept in ${folder}`);
}
