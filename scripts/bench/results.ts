/** build/bench.json: what was measured, by part. A part that is not run again keeps its figures. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Ratios, Runs } from "./figures.ts";
import type { ProfileRow } from "./profile.ts";

/** What the figures are of. */
export interface Setting {
  readonly date: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly device: string;
  readonly image: string;
  readonly programs: readonly string[];
}

/** All contenders on a device that is kept to a speed. */
export interface LimitedRuns {
  readonly bytesPerSecond: number;
  readonly rounds: number;
  readonly runs: Runs;
}

/** Seconds of a whole offline run in a virtual machine. */
export interface WindowFigures {
  readonly rounds: number;
  readonly runs: Readonly<
    Record<string, { readonly median_s: number; readonly min_s: number; readonly max_s: number }>
  >;
}

export interface Results {
  readonly runs: Runs;
  readonly ratios: Ratios;
  readonly ratios_with_readback: Ratios;
  readonly rounds: number;
  readonly commands: Readonly<Record<string, string>>;
  readonly machine: Setting;
  readonly profile: readonly ProfileRow[];
  readonly limited: readonly LimitedRuns[];
  /** Why there are no figures of limited devices, where there are none. */
  readonly limited_missing: string;
  readonly offline_window: WindowFigures;
}

/** What an earlier run has left. */
export function readResults(path: string): Partial<Results> {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Partial<Results>) : {};
}

export function writeResults(path: string, results: Partial<Results>): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
}
