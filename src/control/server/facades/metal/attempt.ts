/**
 * Which attempt of a reinstallation is meant. This protocol has no name for a run: a machine that has registered, or was
 * booted for it, and speaks, speaks of the attempt under way. Its run is named after the reinstallation and a number, so
 * that a word that comes twice means the same run (pure).
 */
import { ReimageError } from "../../../../errors.ts";
import type { OpenReinstall } from "../../operations/open-reinstall.ts";

/** A UUID of version 5 (RFC 9562). @param number from 1. */
export function runIdOf(reinstallId: string, number: number): string {
  return Bun.randomUUIDv5(`run ${number}`, reinstallId);
}

export interface Attempt {
  /** The run under way that began here; null: none did, or another client's is under way. */
  readonly ownRunId: string | null;
  /** What a run would be called that begins now. */
  readonly nextRunId: string;
  /** The machine was booted into it, and has not spoken since: what it says next, it says of the next run. */
  readonly hasBooted: boolean;
}

/** @param bootedFor the reinstallation for which the machine has begun to boot. */
export function attemptOf({ row, facts }: OpenReinstall, bootedFor: string | null): Attempt {
  const runs = facts.earlierRunIds.length + (facts.runId === null ? 0 : 1);
  const own = Array.from({ length: runs }, (_, index) => runIdOf(row.id, index + 1));
  const isUnderWay = facts.runId !== null && facts.state !== "requested" && own.includes(facts.runId);
  return {
    ownRunId: isUnderWay ? facts.runId : null,
    nextRunId: runIdOf(row.id, runs + 1),
    hasBooted: bootedFor === row.id,
  };
}

/** The run that a report of success speaks of. @throws ReimageError `conflict` where no run has begun that could. */
export function reportedRun(attempt: Attempt): string {
  if (attempt.ownRunId !== null) return attempt.ownRunId;
  if (attempt.hasBooted) return attempt.nextRunId;
  throw new ReimageError("conflict", "this reinstallation has not begun, or another client is at it", {
    hint: "a success counts from a machine that was booted into the reimager, or has registered, since it was requested",
  });
}

/** The run that an abort speaks of. @param runId of the reinstallation, whoever began it. */
export function abortedRun(attempt: Attempt, { facts }: OpenReinstall): string {
  if (attempt.hasBooted || facts.runId === null || facts.state === "requested") return attempt.nextRunId;
  return facts.runId;
}
