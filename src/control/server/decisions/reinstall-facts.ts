/** What is known of a reinstallation, and what may become of it. */
import type { TargetState } from "../../../report/events.ts";
import type { Image } from "../../protocol/image.ts";
import type { ReinstallState, WireBootInfo } from "../../protocol/machine.ts";

/** What is known of an open reinstallation. */
export interface ReinstallFacts {
  readonly state: ReinstallState;
  /** What the disk is known to be. Never `untouched` again once it was touched. */
  readonly target: TargetState;
  /** The attempt under way, or the last one; 0: none yet. */
  readonly attempt: number;
  readonly mostAttempts: number;
  readonly nextAttemptAtMs: number | null;
  /** The run of this attempt. */
  readonly runId: string | null;
  /** What this run has done to the disk. */
  readonly runTarget: TargetState;
  /** The runs of earlier attempts. */
  readonly earlierRunIds: readonly string[];
  /** Runs of this reinstallation whose success was not believed, or is not waited for any more. */
  readonly disbelievedRunIds: readonly string[];
  /** Runs that had begun before this was requested: what they still have to say is about something else. */
  readonly foreignRunIds: readonly string[];
  readonly image: Image;
  /** What the endpoint knew of the old OS when this was requested. */
  readonly previousBootInfo: WireBootInfo | null;
}

/** What becomes of it; everything in it happens in one transaction. */
export interface Transition {
  readonly state: ReinstallState;
  readonly target: TargetState;
  readonly attempt: number;
  readonly runId: string | null;
  readonly nextAttemptAtMs: number | null;
  /** In words, for the operator; null where there is nothing to say. */
  readonly reason: string | null;
}

/** Whether it has come to its end, and with it the mark of the machine (pure). */
export function isEnded(state: ReinstallState): boolean {
  return state === "succeeded" || state === "aborted";
}

/** What a network boot gets in this state (pure): the reimager only where a run may still be wanted. */
export function bootInState(state: ReinstallState): "reimage" | "local" | "rescue" {
  if (state === "parked") return "rescue";
  return state === "succeeded" || state === "aborted" || state === "unreported" ? "local" : "reimage";
}

const order: readonly TargetState[] = ["untouched", "partial", "complete"];

/** The one of two words about a disk that says more was done to it (pure). */
export function moreTouched(a: TargetState, b: TargetState): TargetState {
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}
