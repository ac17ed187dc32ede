/** `make bench`: reimage side by side with what else writes an image. Needs root, for loop devices. docs/benchmarks.md */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { chalk, echo } from "zx";
import { contenders, limitedContenders } from "./contenders.ts";
import { debianImage } from "./debian-image.ts";
import { formatFigures, replaceFigures } from "./document.ts";
import { type Measurement, type Runs, ratiosOf, summarise } from "./figures.ts";
import { type ImageFiles, makeImageFiles } from "./image-files.ts";
import { readSetting } from "./machine.ts";
import type { DetailedMeasurement } from "./measure.ts";
import { parseOptions } from "./options.ts";
import { type ProfileRow, profileParts, threadRows } from "./profile.ts";
import { type LimitedRuns, type Results, readResults, writeResults } from "./results.ts";
import { runRounds } from "./rounds.ts";
import { asText, ratioRows, runRows } from "./table.ts";
import { type BenchTarget, openTarget } from "./target.ts";
import { measureWindow } from "./window.ts";

const resultsPath = "build/bench.json";
const documentPath = "docs/benchmarks.md";
/** A SATA SSD, and a slow disk. */
const limits = [500e6, 120e6];

const options = parseOptions(process.env);
const stop = new AbortController();
// Ended from outside, it still detaches the loop device and removes its files.
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(name, () => stop.abort(new Error(`ended by ${name}`)));

if (options.parts.some((part) => part !== "window") && process.getuid?.() !== 0) {
  echo(chalk.red("make bench needs root: it writes to loop devices. BENCH_PARTS=window does not."));
  process.exit(1);
}
const results: { -readonly [K in keyof Results]?: Results[K] } = readResults(resultsPath);
if (options.parts.some((part) => part !== "window"))
  await measureWrites(await makeImageFiles(await debianImage(), "bench-files"));
if (options.parts.includes("window")) results.offline_window = await measureWindow(options.windowRounds, stop.signal);
writeResults(resultsPath, results);
writeFileSync(documentPath, replaceFigures(readFileSync(documentPath, "utf8"), formatFigures(results)));
if (results.runs !== undefined) echo(`\n${asText(runRows(results.runs))}`);
if (results.ratios !== undefined && results.ratios_with_readback !== undefined)
  echo(`\n${asText(ratioRows(results.ratios, results.ratios_with_readback))}`);
for (const { bytesPerSecond, runs } of results.limited ?? [])
  echo(`\nat ${bytesPerSecond / 1e6} MB/s\n${asText(runRows(runs))}`);
for (const [name, { median_s }] of Object.entries(results.offline_window?.runs ?? {}))
  echo(`offline window, ${name}: ${median_s} s`);
echo(`\nwritten to ${resultsPath} and ${documentPath}`);

async function measureWrites(image: ImageFiles): Promise<void> {
  const folder = resolve(options.folder);
  mkdirSync(folder, { recursive: true });
  await using target = await openTarget(folder, image.map.imageSizeBytes);
  results.machine = await readSetting(image, target.description);
  if (options.parts.includes("write")) {
    const threads = new Map<string, readonly ProfileRow[]>();
    const runs = summariseAll(
      await runRounds({
        ...common(image, target, (name, measurement) => threads.set(name, threadRows(name, measurement))),
        ...{ contenders, rounds: options.rounds, speedLimit: null },
      }),
    );
    results.runs = runs;
    results.ratios = ratiosOf(runs);
    results.ratios_with_readback = ratiosOf(runs, "-readback");
    results.rounds = options.rounds;
    results.commands = Object.fromEntries(contenders.map(({ name, command }) => [name, command]));
    const parts = await profileParts(image.files, image.mappedBytes, target, stop.signal);
    results.profile = [...parts, ...(threads.get("reimage-zst") ?? []), ...(threads.get("reimage-zst-readback") ?? [])];
  }
  if (options.parts.includes("limited")) await measureLimited(image, target);
}

async function measureLimited(image: ImageFiles, target: BenchTarget): Promise<void> {
  const limited: LimitedRuns[] = [];
  results.limited_missing = "this kernel has no blkio controller of cgroup v1 that could limit a loop device";
  const rounds = options.limitedRounds;
  for (const bytesPerSecond of target.limitSpeed(null) ? limits : []) {
    echo(chalk.bold(`on a device of ${bytesPerSecond / 1e6} MB/s`));
    const measured = await runRounds({
      ...common(image, target, () => {}),
      ...{ contenders: limitedContenders, rounds, speedLimit: bytesPerSecond },
    });
    limited.push({ bytesPerSecond, rounds, runs: summariseAll(measured) });
  }
  results.limited = limited;
}

function common(
  { files, map }: ImageFiles,
  target: BenchTarget,
  keep: (name: string, measurement: DetailedMeasurement) => void,
) {
  return {
    ...{ files, target, mapped: map.ranges, imageSizeBytes: map.imageSizeBytes, signal: stop.signal },
    onMeasured({ name }: { readonly name: string }, round: number, measurement: DetailedMeasurement) {
      keep(name, measurement);
      echo(`round ${round}  ${name.padEnd(28)}${measurement.seconds.toFixed(2)} s`);
    },
  };
}

function summariseAll(measured: ReadonlyMap<string, readonly Measurement[]>): Runs {
  return Object.fromEntries([...measured].map(([name, measurements]) => [name, summarise(measurements)]));
}
