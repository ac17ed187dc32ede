/** What may be done with a machine, and why not (pure). The endpoint judges again; this only saves a question. */
import type { MachineSummary, targetStates } from "../../protocol/machine.ts";

export type ActionKind = "reinstall" | "cancel" | "boot-local" | "retry" | "approve";
export type TargetState = (typeof targetStates)[number];

/** The words of the buttons. Three dots: it asks before it acts. */
export const actionWords: Readonly<Record<ActionKind, string>> = {
  reinstall: "Reinstall…",
  cancel: "Cancel reinstallation…",
  "boot-local": "Boot local…",
  retry: "Retry…",
  approve: "Approve…",
};

/** The worst that is known of the disk: of the reinstallation where that was asked for, else of the run that belongs to it. */
export function targetOf({ reinstall, run }: MachineSummary): TargetState {
  if (reinstall === null) return run?.target ?? "untouched";
  if (reinstall.state === "writing") return "partial";
  if (reinstall.state === "unreported") return "complete";
  return reinstall.state === "requested" ? "untouched" : (run?.target ?? "untouched");
}

/** Null where it may be done, else the reason in words. */
export function whyNot(kind: ActionKind, machine: MachineSummary, target: TargetState): string | null {
  const { state, locked, reinstall } = machine;
  switch (kind) {
    case "reinstall":
      if (locked) return "The machine is locked.";
      if (state === "discovered") return "The machine is not approved yet.";
      return reinstall === null || reinstall.state === "parked"
        ? null
        : `A reinstallation is open (${reinstall.state}).`;
    case "cancel":
      if (reinstall === null) return "No reinstallation is open.";
      if (reinstall.state === "running") return "A run is under way and may begin to write at any moment.";
      if (target === "partial") return "The disk is partly written and does not boot: only a reinstallation mends it.";
      return target === "complete" ? "The disk already holds the new system." : null;
    case "retry":
      return reinstall?.state === "parked" || reinstall?.state === "unreported"
        ? null
        : "Only what is parked, or misses its report, can be tried again.";
    case "approve":
      return state === "discovered" ? null : "The machine does not wait for approval.";
    case "boot-local":
      return machine.configuration === "local" && reinstall === null ? "Its next boot is from its disk already." : null;
  }
}
