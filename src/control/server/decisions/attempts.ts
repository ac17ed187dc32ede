/** Whose word counts for a reinstallation, and for what: the attempt under way, earlier ones, and runs that have not asked (pure). */
import type { TargetState } from "../../../report/events.ts";
import { retryAfterMs } from "./back-off.ts";
import type { ReinstallFacts } from "./reinstall-facts.ts";

/** Why a success of this run, true as it may be, does not say what is on the disk now; null: it does. */
export function whyTooLate(facts: ReinstallFacts, runId: string): string | null {
  if (facts.foreignRunIds.includes(runId)) return "this run had begun before the reinstallation was requested";
  if (facts.runId === runId) return null;
  const isUnderWay = facts.state === "running" && !facts.earlierRunIds.includes(runId);
  if (isUnderWay) return "another run is under way that was told to reinstall this machine";
  return facts.runTarget === "untouched" ? null : "another run has begun to write to this machine's disk since";
}

/** Whether it is a run of this reinstallation: of the attempt under way, or of an earlier one. */
export function isOwn(facts: ReinstallFacts, runId: string): boolean {
  return facts.runId === runId || facts.earlierRunIds.includes(runId);
}

/** Whether a run that was not told to reinstall may be the one under way: not where another one was told to, and is. */
export function mayTakeOver(facts: ReinstallFacts, runId: string): boolean {
  if (isOwn(facts, runId) || facts.foreignRunIds.includes(runId)) return false;
  return facts.state !== "running" && facts.state !== "writing";
}

/** A run that has not asked may be one too many; it is counted as the last one. */
export function nextAttempt({ attempt, mostAttempts }: ReinstallFacts): number {
  return Math.min(attempt + 1, mostAttempts);
}

/** What a run finds that begins: a disk that was once touched is none that boots the old OS, and its own work is none yet. */
export function leftBehind(target: TargetState): TargetState {
  return target === "complete" ? "partial" : target;
}

/** How long the next attempt is not due. Longer than anybody was ever told: the endpoint's clock was set back. */
export function waitMsOf(facts: Pick<ReinstallFacts, "nextAttemptAtMs" | "attempt">, nowMs: number): number {
  const leftMs = facts.nextAttemptAtMs === null ? 0 : facts.nextAttemptAtMs - nowMs;
  return leftMs <= retryAfterMs(facts.attempt) ? Math.max(0, leftMs) : 0;
}
