/** What a run is called: a random UUID, the same over all processes of the run. */
import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { keepFile } from "./keep-file.ts";
import { reportPath } from "./record.ts";

const runIdPath = (workDir: string) => join(workDir, "run-id");

/** Where what was decided of a run's first write is kept; see first-write.ts. */
export const firstWritePath = (workDir: string, runId: string) => join(workDir, `first-write-${runId}`);

/** The run that an earlier process has left here, whether it has ended or not; null where there was none. */
export function readLastRunId(workDir: string): string | null {
  const text = readText(runIdPath(workDir))?.trim() ?? "";
  return /^[0-9a-f-]{36}$/.test(text) ? text : null;
}

/** Whether a run has ended: it has a report. What carries on after that is another run. */
export function hasEnded(workDir: string, runId: string): boolean {
  try {
    const report: unknown = JSON.parse(readText(reportPath(workDir)) ?? "null");
    return typeof report === "object" && report !== null && "runId" in report && report.runId === runId;
  } catch {
    return false; // written whole or not at all: somebody else wrote it
  }
}

/** The run to carry on, or a new one where the last one has ended. */
export function openRunId(workDir: string): string {
  const last = readLastRunId(workDir);
  if (last !== null && !hasEnded(workDir, last)) return last;
  for (const name of readdirSync(workDir)) if (name.startsWith("first-write-")) rmSync(join(workDir, name));
  const own = `${runIdPath(workDir)}.${process.pid}`;
  const made = randomUUID();
  try {
    keepFile(own, `${made}\n`);
  } catch {
    rmSync(own, { force: true });
    return made; // where there is no room for a name there is none for a run: it says so, with the numbers, before it writes
  }
  try {
    if (last !== null) renameSync(own, runIdPath(workDir));
    else linkSync(own, runIdPath(workDir)); // `reimage abort` may name a run that is only about to begin
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(own, { force: true });
  }
  const runId = readLastRunId(workDir);
  if (runId !== null) return runId;
  throw new ReimageError("state", `${runIdPath(workDir)} is not the name of a run`, { hint: "remove that file" });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
