/** What the operator is told of the endpoint, none of it twice. */
import type { Reporter } from "../../report/events.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Refusal } from "./refusal.ts";

const WRONG_CLOCK_MS = 300_000;

export function createTeller(endpoint: Endpoint, emit: Reporter["emit"]) {
  let hasWarned = false;
  let isClockTold = false;
  const warn = (message: string) => emit({ type: "warning", stage: null, message: `control: ${message}` });
  const detail = (message: string) => emit({ type: "detail", stage: null, message: `control: ${message}` });
  return {
    warn,
    detail,
    verdict: (says: string, isDoubted: boolean) => (isDoubted ? warn(says) : detail(says)),
    refused({ kind, message, hint }: Refusal) {
      const what = `${endpoint.name} ${message}${hint === undefined ? "" : ` (${hint})`}; it is told later`;
      if (kind === "lasting" || !hasWarned) warn(what);
      else detail(what);
      hasWarned = true;
    },
    /** The run is over. */
    unsent() {
      const what = `${endpoint.name} has not taken everything; reimage report sends the rest, or the next run does`;
      if (hasWarned) detail(what);
      else warn(what);
    },
    taken: () => detail(`${endpoint.name} takes messages again`),
    /** The clock is told of, and never set. */
    clock() {
      const aheadMs = endpoint.clockAheadMs();
      if (isClockTold || aheadMs === null || Math.abs(aheadMs) < WRONG_CLOCK_MS) return;
      isClockTold = true;
      const says = new Date(Date.now() + aheadMs).toISOString();
      detail(`the clock of this machine is ${Math.round(aheadMs / 1000)} s behind the endpoint's, which says ${says}`);
    },
  };
}
