/** What became of the machines that were hit: one line of JSON for each run. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Kind, Timeline } from "./strikes.ts";
import type { Struck } from "./struck-machine.ts";
import type { Verdict } from "./verdict.ts";

export interface KillResult extends Pick<Verdict, "outcome" | "reason" | "boots"> {
  /** Which armed disk: it changes with the program. */
  readonly armed: string;
  readonly seed: number;
  readonly kind: Kind;
  readonly run: number;
  /** What the instants were chosen from. */
  readonly timeline: Timeline;
  readonly struck: readonly Struck[];
  readonly seconds: number;
  /** Of reimage. */
  readonly commit: string;
  readonly date: string;
}

const path = "build/power/kills.jsonl";

export function appendKillResult(result: KillResult): void {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, `${JSON.stringify(result)}\n`);
}

export function readKillResults(): KillResult[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as KillResult);
}
