/** What was really done to the target, from what a run has recorded while it did it. */
import type { Event, TargetState } from "../../report/events.ts";

export interface Touched {
  readonly state: TargetState;
  readonly bytesWritten: number | null;
  /** The first 512-byte sector that was written; null: none. */
  readonly firstLba: number | null;
}

/**
 * What was touched (pure).
 * @param state as it was recorded, which is before the first write
 * @param events of the run, in order. Progress is reported four times a second: a little more may have been written.
 */
export function touchedOf(state: TargetState, events: readonly Event[]): Touched {
  if (state === "untouched") return { state, bytesWritten: 0, firstLba: null };
  let bytesWritten: number | null = null;
  for (const event of events) {
    if (event.type !== "progress" || event.stage !== "write" || event.what !== "writing the image") continue;
    bytesWritten = Math.max(bytesWritten ?? 0, event.doneBytes);
  }
  return { state, bytesWritten, firstLba: 0 }; // the first MiB is cleared before anything else is written
}
