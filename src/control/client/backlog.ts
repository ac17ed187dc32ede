/** What stands in the files of the work directory and is not in the queue yet: events of earlier processes, and reports. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readEvents } from "../../report/ndjson.ts";
import type { RunReport } from "../../report/report-json.ts";
import type { Keeper } from "./kept.ts";
import type { Queue } from "./queue.ts";
import { messagesOf } from "./run-messages.ts";

export interface BacklogOptions {
  readonly runId: string;
  readonly eventsPath: string;
  readonly reportPath: string;
  /** Whether the endpoint decides about runs. */
  readonly decides: boolean;
  readonly own: Queue;
  readonly kept: Keeper;
}

export interface Backlog {
  /** Puts into the queue what earlier processes have told nobody but the files: of the run before this one, too. */
  catchUp(): void;
  /** Puts the report of that run into the queue, once. @throws the error of node:fs */
  addReport(of: string): void;
}

export function createBacklog({ runId, eventsPath, reportPath, decides, own, kept }: BacklogOptions): Backlog {
  function addReport(of: string): void {
    const text = readFileSync(reportPath, "utf8");
    const reportedSha256 = createHash("sha256").update(text).digest("hex");
    const report = JSON.parse(text) as RunReport;
    if (kept.get().reportedSha256 === reportedSha256 || report.runId !== of) return;
    const { isInstructed, bootInfo } = kept.get();
    // Where the endpoint decides and has not sent this run, there is nothing of its to take back.
    const isAbortMeant = !decides || isInstructed || report.code === "aborted" || report.target !== "untouched";
    const events = readEvents(eventsPath);
    for (const { entry } of messagesOf(report, { bootInfo, events, isAbortMeant })) own.add(entry);
    kept.change({ reportedSha256 });
  }

  function catchUp(): void {
    const events = readEvents(eventsPath);
    const endOfLast = events.findLast(({ type }) => type === "run-finished" || type === "run-failed")?.seq ?? 0;
    const before = kept.get().runId;
    const add = (of: string, from: number, to: number) => {
      for (const event of events) {
        if (event.seq > from && event.seq <= to) own.add({ kind: "event", runId: of, event: { ...event } });
      }
    };
    if (before !== null && before !== runId) {
      add(before, own.lastSeq(), endOfLast);
      if (existsSync(reportPath)) addReport(before);
    }
    kept.begin(runId);
    add(runId, own.lastSeq() > 0 ? own.lastSeq() : endOfLast, Number.POSITIVE_INFINITY);
  }

  return { catchUp, addReport };
}
