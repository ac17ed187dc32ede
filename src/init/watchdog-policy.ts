/** When the watchdog is fed: as long as the run gets on, and where a reset would do more harm than a hang (pure). */
import type { TargetState } from "../report/events.ts";

/** What to do now. `warn`: feed, and tell the operator that nothing moves. */
export type Feeding = "feed" | "warn" | "starve";

export interface WatchdogPolicy {
  /** Something happened: a step, a byte, a stage. */
  noteProgress(nowSeconds: number): void;
  noteTargetState(state: TargetState): void;
  decide(nowSeconds: number): Feeding;
}

/**
 * A run without progress for `stallSeconds` is no longer fed, so that the machine is reset and boots what its disk
 * holds. While that is half a system, nothing but RAM holds the rest: then it is fed as long as this process lives,
 * with one warning for each stall; only a dead kernel or program lets the watchdog bite.
 * @param isRepeatable whether a reset leads back to the run at every moment: the machine was booted from its lifeboat.
 */
export function createWatchdogPolicy(
  stallSeconds: number,
  startSeconds: number,
  startTarget: TargetState,
  isRepeatable: boolean,
): WatchdogPolicy {
  let lastProgressSeconds = startSeconds;
  let hasWarned = false;
  let target = startTarget;
  return {
    noteProgress(nowSeconds) {
      lastProgressSeconds = nowSeconds;
      hasWarned = false;
    },
    noteTargetState(state) {
      target = state;
    },
    decide(nowSeconds) {
      if (nowSeconds - lastProgressSeconds < stallSeconds) return "feed";
      if (target !== "partial" || isRepeatable) return "starve";
      if (hasWarned) return "feed";
      hasWarned = true;
      return "warn";
    },
  };
}
