/** How the machine goes on after a run. The one place that reboots or powers off. */
import { unmountBelow } from "../disk/mounts.ts";
import type { TargetState } from "../report/events.ts";
import { runCommand } from "../system/commands.ts";
import { rebootMachine } from "../system/libc.ts";

/** What becomes of the machine; `rescue`: it stays up, with a shell where shells are allowed. */
export type Ending = "reboot" | "poweroff" | "rescue";

/** The parts of an outcome and of the configuration that decide. */
export interface EndingFacts {
  readonly outcome: "success" | "failed";
  readonly target: TargetState;
  readonly onSuccess: "reboot" | "poweroff" | "kexec";
  readonly onFailure: "shell" | "reboot" | "poweroff";
  /** Whether somebody has decided for the old OS: the control endpoint, or who aborted the run. */
  readonly isOldOsWanted?: boolean;
  /** Whether the endpoint wants somebody to look at the machine. */
  readonly isRescueWanted?: boolean;
  /** Whether the machine, started again, carries on from its lifeboat. */
  readonly isRepeatable?: boolean;
}

/**
 * Decides (pure). A partly written disk overrules the configuration: image and retained files exist in RAM alone, and
 * a reboot would lose the identity of the machine for good; unless there is a lifeboat, and attempts are left.
 */
export function decideEnding(facts: EndingFacts): Ending {
  const { outcome, target, onSuccess, onFailure } = facts;
  if (target === "partial") return facts.isRepeatable ? "reboot" : "rescue";
  if (outcome === "success") return onSuccess === "poweroff" ? "poweroff" : "reboot";
  if (facts.isRescueWanted) return "rescue";
  if (facts.isOldOsWanted) return onFailure === "poweroff" ? "poweroff" : "reboot"; // nobody waits for a shell then
  return onFailure === "shell" ? "rescue" : onFailure;
}

/**
 * Unmounts what is left below `workDir`, flushes everything and ends the machine. Does not return, unless the kernel refuses.
 * @param onProblem told of what could not be unmounted; the machine is ended all the same, after a sync.
 */
export async function endMachine(
  how: "reboot" | "poweroff",
  workDir: string,
  onProblem: (problem: unknown) => Promise<void>,
): Promise<void> {
  try {
    await unmountBelow(workDir);
  } catch (error) {
    await onProblem(error);
  }
  await runCommand("busybox", ["sync"]);
  rebootMachine(how);
}
