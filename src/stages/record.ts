/** The record of a run in the work directory: what its files are called, and the report made from them. */
import { join } from "node:path";
import { identityOf } from "../disk/inventory.ts";
import type { Event } from "../report/events.ts";
import { readEvents } from "../report/ndjson.ts";
import { buildReport, type RunEnding, type RunReport } from "../report/report-json.ts";
import type { RestoreSummary } from "../retention/restore.ts";
import type { Saved } from "./save.ts";
import type { Written } from "./write.ts";

export const eventsPath = (workDir: string) => join(workDir, "events.ndjson");
export const logPath = (workDir: string) => join(workDir, "reimage.log");
export const reportPath = (workDir: string) => join(workDir, "report.json");
/** The seed's view of the retained files: mode, user, group and path, separated by tabs. */
export const savedPermissionsPath = (workDir: string) => join(workDir, "savedperms");

/** Of several runs with the same work directory, the last one, with all its restarts (pure). */
function eventsOfThisRun(events: readonly Event[]): readonly Event[] {
  const start = events.findLastIndex((event) => event.type === "run-started" && !event.restarted);
  return events.slice(Math.max(0, start));
}

/** The report of a run, from as much as it has come to know. */
export function reportFor(
  workDir: string,
  runId: string | null,
  ending: RunEnding,
  saved: Saved | null,
  written: Written | null,
  retained: RestoreSummary | null,
): RunReport {
  const archive = saved?.archive ?? null;
  return buildReport({
    runId,
    ending,
    image: saved === null ? null : { id: saved.image.imageId, sha256: saved.image.sha256 },
    readbackSha256: written?.readbackSha256 ?? null,
    retained:
      archive === null
        ? null
        : {
            count: archive.count,
            bytes: archive.contentBytes,
            missing: archive.missing,
            failures: retained?.failures ?? [],
          },
    disk: saved === null ? null : identityOf(saved.target),
    events: eventsOfThisRun(readEvents(eventsPath(workDir))),
  });
}
