/** What a machine is at, in one word for the filters and a few for people (pure). */
import type { MachineSummary, ReinstallState } from "../protocol/machine.ts";

export const conditions = [
  "requested",
  "running",
  "writing",
  "waiting",
  "parked",
  "failed",
  "unproven",
  "approve",
  "installed",
  "idle",
] as const;
export type Condition = (typeof conditions)[number];

/** A run under way of which nothing was heard for so long is `silent`. */
export const SILENT_MS = 5 * 60_000;

const ofReinstall: Readonly<Record<ReinstallState, Condition | null>> = {
  requested: "requested",
  running: "running",
  writing: "writing",
  unreported: "unproven",
  waiting: "waiting",
  parked: "parked",
  succeeded: null,
  aborted: null,
};

/** What the machine is at. An open reinstallation says more than the last run, and a machine without a token comes first. */
export function conditionOf({ state, reinstall, run }: MachineSummary): Condition {
  if (state === "discovered") return "approve";
  const open = reinstall === null ? null : ofReinstall[reinstall.state];
  if (open !== null) return open;
  if (run === null) return "idle";
  if (run.outcome === null) return run.target === "untouched" ? "running" : "writing";
  return run.outcome === "success" ? "installed" : "failed";
}

/** Whether a run is under way, as far as the endpoint was told. */
export const isBusy = (condition: Condition): boolean => condition === "running" || condition === "writing";

/** Whether the machine should be talking, and is not. */
export function isSilent(machine: MachineSummary, nowMs: number): boolean {
  if (!isBusy(conditionOf(machine))) return false;
  return machine.lastSeenAt === null || nowMs - Date.parse(machine.lastSeenAt) > SILENT_MS;
}

/** The word on the filter, and what it means, for those who hover or listen. */
export const conditionWords: Readonly<Record<Condition, { readonly word: string; readonly meaning: string }>> = {
  requested: { word: "Requested", meaning: "a reinstallation is asked for; the machine has not begun it" },
  running: { word: "Running", meaning: "a run is under way; the disk is untouched" },
  writing: { word: "Writing", meaning: "the disk is being overwritten and does not boot until that has succeeded" },
  waiting: { word: "Waiting", meaning: "an attempt failed; another follows" },
  parked: { word: "Parked", meaning: "all attempts failed; the machine waits for a person" },
  failed: { word: "Failed", meaning: "the last run failed, and no reinstallation is open" },
  unproven: {
    word: "Unproven",
    meaning: "the disk is complete, but no report has proven it; the machine boots from its disk",
  },
  approve: { word: "To approve", meaning: "the machine has asked for a token and waits for an operator" },
  installed: { word: "Installed", meaning: "the last run succeeded" },
  idle: { word: "Idle", meaning: "nothing is asked for, and no run is known" },
};

/** How much of the step in hand is done, 0 to 1; null where nobody can tell, or nothing is being done (pure). */
export function progressOf(machine: MachineSummary): number | null {
  const { run } = machine;
  if (run === null || run.doneBytes === null || run.totalBytes === null || run.totalBytes <= 0) return null;
  return isBusy(conditionOf(machine)) ? Math.max(0, Math.min(1, run.doneBytes / run.totalBytes)) : null;
}

/** What a machine is called: its name, else its serial number, else its id. */
export const titleOf = ({ name, serial, id }: MachineSummary): string => name ?? serial ?? id;
