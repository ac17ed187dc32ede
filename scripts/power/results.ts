/** What the sweep has found out, one line of JSON for each state, so that a sweep that was stopped goes on. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Phase } from "./phases.ts";
import type { Scenario } from "./scenario.ts";
import type { Verdict } from "./verdict.ts";

export interface Result extends Verdict {
  readonly scenario: Scenario;
  /** Which run was cut. */
  readonly recording: string;
  readonly seed: number;
  /** Of the state: `--seed` and this make it again. */
  readonly id: string;
  /** Which state of the firmware's variables it was booted with. */
  readonly variables: "before" | "after";
  /** Of the machine: from reset, or from a snapshot (scripts/power/snapshot.ts). */
  readonly start: "reset" | "snapshot";
  readonly phase: Phase;
  /** For the state: making its disk, booting it, a snapshot where one was taken, the verdict. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Of reimage. */
  readonly commit: string;
  readonly date: string;
}

export const resultsFolder = "build/power/results";

export function appendResult(path: string, result: Result): void {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, `${JSON.stringify(result)}\n`);
}

export function readResults(path: string): Result[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Result);
}

/** Everything in the folder. */
export function readAllResults(folder = resultsFolder): Result[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .toSorted();
  return files.flatMap((name) => readResults(join(folder, name)));
}
