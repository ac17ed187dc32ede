/** report.json: the truth about a run, for programs. */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { asReimageError, describeError } from "../errors.ts";
import type { DiskIdentity, Event, StageName, TargetState } from "./events.ts";

/** What became of the retained files. `bytes` is the size of their contents. */
export interface RetainedFacts {
  readonly count: number;
  readonly bytes: number;
  /** Lines of the retention list that matched nothing. */
  readonly missing: readonly string[];
  /** Files that could not be saved or restored, each with the reason. */
  readonly failures: readonly { readonly path: string; readonly reason: string }[];
}

/** How a run ended. */
export type RunEnding =
  | { readonly outcome: "success" }
  | {
      readonly outcome: "failed";
      readonly stage: StageName | null;
      readonly target: TargetState;
      /** What was thrown. */
      readonly error: unknown;
    };

/** What `buildReport` is made from. What is not known (yet) is null. */
export interface ReportFacts {
  readonly runId: string | null;
  readonly ending: RunEnding;
  readonly image: { readonly id: string | null; readonly sha256: string } | null;
  /** SHA-256 of the whole image as read back from the target. */
  readonly readbackSha256: string | null;
  readonly retained: RetainedFacts | null;
  readonly disk: DiskIdentity | null;
  /** The events of all processes of the run (`readEvents`): times and warnings come from them. */
  readonly events: readonly Event[];
}

/** report.json. Fields are added, never changed, under the same `schemaVersion`. */
export interface RunReport {
  readonly schemaVersion: 1;
  /** Random UUID; null where the run ended before it had one. */
  readonly runId: string | null;
  readonly outcome: "success" | "failed";
  /** The stage in which the run ended; null before the first one. */
  readonly stage: StageName | null;
  readonly target: TargetState;
  /** Why it failed, on one line; null after success. */
  readonly reason: string | null;
  readonly code: string | null;
  readonly hint: string | null;
  readonly image: { readonly id: string | null; readonly sha256: string } | null;
  /** SHA-256 of what the target holds, read from the device. */
  readonly readback: string | null;
  readonly retained: RetainedFacts | null;
  readonly disk: DiskIdentity | null;
  readonly timings: Timings;
  readonly warnings: readonly string[];
}

/** When the run began and how long each stage took, restarts included; null where a stage was not reached. */
export interface Timings {
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly totalSeconds: number | null;
  readonly saveSeconds: number | null;
  readonly writeSeconds: number | null;
  readonly restoreSeconds: number | null;
}

/** Builds the report from what is known (pure). */
export function buildReport(facts: ReportFacts): RunReport {
  const { ending } = facts;
  const error = ending.outcome === "failed" ? asReimageError(ending.error) : null;
  return {
    schemaVersion: 1,
    runId: facts.runId,
    outcome: ending.outcome,
    stage: ending.outcome === "failed" ? ending.stage : "restore",
    target: ending.outcome === "failed" ? ending.target : "complete",
    reason: error === null ? null : describeError(error),
    code: error?.code ?? null,
    hint: error?.hint ?? null,
    image: facts.image,
    readback: facts.readbackSha256,
    retained: facts.retained,
    disk: facts.disk,
    timings: timingsOf(facts.events),
    warnings: facts.events.flatMap((event) => (event.type === "warning" ? [event.message] : [])),
  };
}

/** The times of a run from its events (pure). A stage that has not finished is measured up to the last event. */
export function timingsOf(events: readonly Event[]): Timings {
  const first = events[0];
  const last = events.at(-1);
  function stageSeconds(stage: StageName): number | null {
    const start = events.find((event) => event.type === "stage-started" && event.stage === stage);
    const end = events.findLast((event) => event.type === "stage-finished" && event.stage === stage) ?? last;
    return secondsBetween(start, end);
  }
  return {
    startedAt: first?.time ?? null,
    endedAt: last?.time ?? null,
    totalSeconds: secondsBetween(first, last),
    saveSeconds: stageSeconds("save"),
    writeSeconds: stageSeconds("write"),
    restoreSeconds: stageSeconds("restore"),
  };
}

function secondsBetween(start: Event | undefined, end: Event | undefined): number | null {
  if (start === undefined || end === undefined) return null;
  return Math.max(0, Date.parse(end.time) - Date.parse(start.time)) / 1000; // the clock may have been set meanwhile
}

/** The text of report.json. */
export function formatReport(report: RunReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

/**
 * Writes report.json so that it is there whole or not at all, whatever happens: a temporary file beside it, synced,
 * renamed, and the directory synced.
 * @throws the error of node:fs
 */
export function writeReport(path: string, report: RunReport): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, formatReport(report), { mode: 0o600, flush: true });
  renameSync(temporary, path);
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
