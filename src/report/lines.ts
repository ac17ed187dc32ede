/** Events in words, for the consoles and the log (pure). */
import type { DiskIdentity, Event, TargetState } from "./events.ts";
import { formatDuration, onOneLine } from "./format.ts";

/** What the state of the disk means to the person in front of it, after a failure. */
const AFTER_FAILURE: Readonly<Record<TargetState, string>> = {
  untouched: "The disk is untouched: the old system will boot again.",
  partial:
    "The disk is partly written and does not boot. The image and the retained files are still in memory: do not switch the machine off.",
  complete: "The disk is complete: the new system will boot.",
};

const AFTER_FAILURE_WITH_LIFEBOAT =
  "The disk is partly written, and boots its lifeboat: started again, the machine tries again from there.";

/** What it means while the run goes on. */
const DURING_RUN: Readonly<Record<TargetState, string | null>> = {
  untouched: null,
  partial: "the disk is being overwritten: until reimage succeeds it does not boot; do not switch the machine off",
  complete: "the disk is complete: the new system will boot",
};

const DURING_RUN_WITH_LIFEBOAT =
  "the disk is being overwritten: if the power is cut now, the machine starts here again, and carries on";

/** The words for an event; null where it says nothing to a person. Progress is shown by its own means (rate.ts). */
export function describeEvent(event: Event): string | null {
  switch (event.type) {
    case "run-started":
      if (!event.restarted) return `reimage ${event.version}`;
      return `reimage ${event.version}: started again, carries on with what is in ${event.hasLifeboat ? "the lifeboat" : "memory"}`;
    case "stage-started":
      return `[${event.stage}] begins`;
    case "step":
    case "detail":
      return inStage(event.stage, event.message);
    case "warning":
      return inStage(event.stage, `WARNING: ${event.message}`);
    case "stage-finished":
      return `[${event.stage}] finished after ${formatDuration(event.seconds)}`;
    case "target-state":
      return event.state === "partial" && event.hasLifeboat ? DURING_RUN_WITH_LIFEBOAT : DURING_RUN[event.state];
    case "run-finished":
    case "run-failed":
      return describeEnding(event);
    case "progress":
      return null;
  }
}

function inStage(stage: string | null, message: string): string {
  return stage === null ? message : `[${stage}] ${message}`;
}

/** The line that ends a run: what happened, what state the disk is in, and what to do. */
export function describeEnding(event: Extract<Event, { type: "run-finished" | "run-failed" }>): string {
  if (event.type === "run-finished") {
    return `reimage: success: the new system is complete on ${describeDisk(event.disk)}; it was read back and is what it should be.`;
  }
  const stage = event.stage === null ? "" : ` in stage ${event.stage}`;
  const isAboard = event.target === "partial" && event.hasLifeboat;
  const state = isAboard ? AFTER_FAILURE_WITH_LIFEBOAT : AFTER_FAILURE[event.target];
  const parts = [`reimage: failed${stage}: ${sentence(event.reason)}`, state];
  if (event.hint !== null) parts.push(`What to do: ${sentence(event.hint)}`);
  return parts.join(" ");
}

/** One line that ends like a sentence. */
function sentence(text: string): string {
  const line = onOneLine(text).trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

/** `/dev/sda (Samsung SSD 860, serial S3Z9, 500 GB)`: sizes of disks in the units on their labels. */
export function describeDisk(disk: DiskIdentity): string {
  const serial = disk.serial === null ? null : `serial ${disk.serial}`;
  const size = `${(disk.sizeBytes / 1e9).toFixed(1)} GB`;
  return `${disk.path} (${[disk.model, serial, size].filter((part) => part !== null).join(", ")})`;
}
