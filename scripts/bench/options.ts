/** What the environment asks of `make bench` (pure). */

export const parts = ["write", "limited", "window"] as const;
export type Part = (typeof parts)[number];

export interface BenchOptions {
  readonly parts: readonly Part[];
  readonly rounds: number;
  readonly limitedRounds: number;
  readonly windowRounds: number;
  /** Where the file of the target goes. */
  readonly folder: string;
}

/**
 * BENCH_ROUNDS (5) how often everything is written; BENCH_LIMITED_ROUNDS and BENCH_WINDOW_ROUNDS (3, or BENCH_ROUNDS where
 * that is fewer) the same for the other parts; BENCH_PARTS (all) a list with commas; BENCH_DIR (build/bench) on the disk to
 * measure.
 * @throws Error naming the variable that makes no sense
 */
export function parseOptions(environment: Readonly<Record<string, string | undefined>>): BenchOptions {
  const count = (name: string, usual: number): number => {
    const text = environment[name] || String(usual);
    if (!/^[1-9]\d{0,2}$/.test(text)) throw new Error(`${name}=${text}: expected a number of rounds, such as 5`);
    return Number(text);
  };
  const rounds = count("BENCH_ROUNDS", 5);
  const wanted = (environment.BENCH_PARTS || parts.join(",")).split(",");
  const unknown = wanted.find((name) => !parts.some((part) => part === name));
  if (unknown !== undefined) throw new Error(`BENCH_PARTS: there is no part ${unknown}; there are ${parts.join(", ")}`);
  return {
    parts: parts.filter((part) => wanted.includes(part)),
    rounds,
    limitedRounds: count("BENCH_LIMITED_ROUNDS", Math.min(3, rounds)),
    windowRounds: count("BENCH_WINDOW_ROUNDS", Math.min(3, rounds)),
    folder: environment.BENCH_DIR || "build/bench",
  };
}
