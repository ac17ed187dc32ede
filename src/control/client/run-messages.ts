/** What the endpoint is told at the end of a run (pure). */
import type { Event } from "../../report/events.ts";
import type { RunReport } from "../../report/report-json.ts";
import type { WireBootInfo } from "../protocol/machine.ts";
import { type Waiting, waitingFor } from "./entries.ts";
import { touchedOf } from "./touched.ts";

export interface EndingFacts {
  readonly bootInfo: WireBootInfo | null;
  /** The events of the work directory, of earlier runs too. */
  readonly events: readonly Event[];
  /** Whether a failure also takes back what the endpoint wanted of this run. */
  readonly isAbortMeant: boolean;
}

const mostReason = 8192;

/** The report; after a failure what was really touched, too. Nothing for a run without a name. */
export function messagesOf(report: RunReport, { bootInfo, events, isAbortMeant }: EndingFacts): Waiting[] {
  const { runId } = report;
  if (runId === null) return [];
  const reason = report.reason?.slice(0, mostReason) ?? null;
  const isSuccess = report.outcome === "success";
  const wire = { ...report, reason };
  const told = waitingFor({
    kind: "report",
    message: { runId, report: wire, bootInfo: isSuccess ? bootInfo : null },
  });
  if (isSuccess || !isAbortMeant) return [told];
  const start = events.findLastIndex((event) => event.type === "run-started" && !event.restarted);
  const target = touchedOf(report.target, events.slice(Math.max(0, start)));
  return [told, waitingFor({ kind: "abort", message: { runId, target, reason: reason ?? "no reason was given" } })];
}
