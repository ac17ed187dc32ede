/** What many measurements come to (pure). The names of the fields are those of build/bench.json. */

/** One run of one contender. */
export interface Measurement {
  readonly seconds: number;
  /** The sum over its processes of the most memory that each had resident. */
  readonly peakBytes: number;
  /** User and system time of all its processes. */
  readonly cpuSeconds: number;
}

/** All runs of one contender. MB are millions of bytes. */
export interface RunFigures {
  readonly median_s: number;
  readonly min_s: number;
  readonly max_s: number;
  /** Of the run that took most. */
  readonly peak_mb: number;
  /** The median. */
  readonly cpu_s: number;
}

export type Runs = Readonly<Record<string, RunFigures>>;

/** How reimage compares: time divided by time, so less is better; `readback_cost` is what is added to 1. */
export interface Ratios {
  readonly bz2_vs_seed: number;
  readonly bz2_vs_bmaptool: number;
  readonly zst_vs_bmaptool: number;
  readonly zst_vs_device: number;
  readonly readback_cost: number;
}

/** What each ratio should be at most. */
export const reach: Ratios = {
  bz2_vs_seed: 0.4,
  bz2_vs_bmaptool: 0.75,
  zst_vs_bmaptool: 0.9,
  zst_vs_device: 1.3,
  readback_cost: 0.35,
};

/** @throws Error where there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new Error("there is no median of nothing");
  return (lower + upper) / 2;
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** @throws Error where there are no measurements. */
export function summarise(measurements: readonly Measurement[]): RunFigures {
  const seconds = measurements.map((each) => each.seconds);
  return {
    median_s: round(median(seconds), 3),
    min_s: round(Math.min(...seconds), 3),
    max_s: round(Math.max(...seconds), 3),
    peak_mb: round(Math.max(...measurements.map((each) => each.peakBytes)) / 1e6, 1),
    cpu_s: round(median(measurements.map((each) => each.cpuSeconds)), 3),
  };
}

/**
 * The ratios of the medians. bz2 is the single stream that all bz2 contenders get; the device's limit is the faster of its
 * two ways of being written. `-readback` contenders are what `readback_cost` is about; with `suffix` they take the place of
 * the others.
 * @throws Error naming a contender that did not run.
 */
export function ratiosOf(runs: Runs, suffix: "" | "-readback" = ""): Ratios {
  const seconds = (name: string): number => {
    const figures = runs[name];
    if (figures === undefined) throw new Error(`the contender ${name} did not run`);
    return figures.median_s;
  };
  const device = Math.min(seconds("device-buffered"), seconds("device-direct"));
  const zst = seconds(`reimage-zst${suffix}`);
  const bz2 = seconds(`reimage-bz2${suffix}`);
  return {
    bz2_vs_seed: round(bz2 / seconds("seed"), 3),
    bz2_vs_bmaptool: round(bz2 / seconds("bmaptool-bz2"), 3),
    zst_vs_bmaptool: round(zst / seconds("bmaptool-zst"), 3),
    zst_vs_device: round(zst / device, 3),
    readback_cost: round(seconds("reimage-zst-readback") / seconds("reimage-zst") - 1, 3),
  };
}
