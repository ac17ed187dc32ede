/** Progress of a stage, and the only throttle: however often a stage advances, at most four events a second leave it. */
import type { Reporter, StageName } from "./events.ts";

const INTERVAL_MS = 250;

/** How far something long has come. */
export interface Progress {
  /** Adds to the bytes that are done. */
  advance(bytes: number): void;
  /** Reports where it ended, whatever the throttle says. */
  done(): void;
}

/**
 * Reports the start of something long at once, and its progress from then on.
 * @param what what is being done, such as `writing the image`
 * @param totalBytes null where nobody knows it yet
 * @param now a clock in milliseconds that never goes back
 */
export function createProgress(
  reporter: Reporter,
  stage: StageName,
  what: string,
  totalBytes: number | null,
  now: () => number = () => performance.now(),
): Progress {
  let doneBytes = 0;
  let emittedAt = now();

  function emit(total: number | null): void {
    reporter.emit({ type: "progress", stage, what, doneBytes, totalBytes: total });
  }

  emit(totalBytes);
  return {
    advance(bytes) {
      doneBytes += bytes;
      const time = now();
      if (time - emittedAt < INTERVAL_MS) return;
      emittedAt = time;
      emit(totalBytes);
    },
    done: () => emit(totalBytes ?? doneBytes),
  };
}
