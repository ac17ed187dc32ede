/** What the events of a run say of it as a whole (pure). */
import type { TargetState } from "../../../report/events.ts";
import { targetStates } from "../../protocol/machine.ts";
import type { WireEvent } from "../../protocol/run.ts";
import { moreTouched } from "./reinstall-facts.ts";

/** A run, as far as events tell of it. */
export interface RunProgress {
  readonly stage: string | null;
  readonly what: string | null;
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
  readonly target: TargetState;
  readonly outcome: "success" | "failed" | null;
  readonly reason: string | null;
  readonly lastSeq: number;
}

export const notBegun: RunProgress = {
  stage: null,
  what: null,
  doneBytes: null,
  totalBytes: null,
  target: "untouched",
  outcome: null,
  reason: null,
  lastSeq: 0,
};

/**
 * The run after `events`, which may come doubled and in any order: what the disk has become is never forgotten, and for
 * the rest the highest sequence number counts.
 */
export function foldEvents(before: RunProgress, events: readonly WireEvent[]): RunProgress {
  let run = before;
  for (const event of [...events].sort((a, b) => a.seq - b.seq)) {
    const target = moreTouched(run.target, targetOf(event));
    run = event.seq <= run.lastSeq ? { ...run, target } : { ...newer(run, event), target, lastSeq: event.seq };
  }
  return run;
}

function targetOf(event: WireEvent): TargetState {
  const said = event.type === "target-state" ? event.state : event.target;
  return targetStates.find((state) => state === said) ?? "untouched";
}

function newer(run: RunProgress, event: WireEvent): RunProgress {
  const stage = textOf(event.stage) ?? run.stage;
  switch (event.type) {
    case "run-started":
      return { ...notBegun, target: run.target, lastSeq: run.lastSeq };
    case "stage-started":
      return { ...run, stage, what: null, doneBytes: null, totalBytes: null };
    case "step":
      return { ...run, stage, what: textOf(event.message) };
    case "progress":
      return {
        ...run,
        stage,
        what: textOf(event.what),
        doneBytes: countOf(event.doneBytes),
        totalBytes: countOf(event.totalBytes),
      };
    case "run-finished":
      return { ...run, outcome: "success", what: null };
    case "run-failed":
      return { ...run, stage, outcome: "failed", what: null, reason: textOf(event.reason) };
    default:
      return run;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value.slice(0, 1024) : null;
}

function countOf(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
