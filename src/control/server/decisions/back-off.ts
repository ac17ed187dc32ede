/** How long a machine waits between two attempts. */

const FIRST_MILLISECONDS = 30_000;
const LONGEST_MILLISECONDS = 15 * 60_000;

/** @param attempt the one that has failed, from 1. Twice as long after each one (pure). */
export function retryAfterMs(attempt: number): number {
  return Math.min(FIRST_MILLISECONDS * 2 ** (attempt - 1), LONGEST_MILLISECONDS);
}
