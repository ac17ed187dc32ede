/** What an earlier process of this run, which was killed, has left in the work directory. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TargetState } from "../report/events.ts";
import { reportPath } from "../stages/record.ts";

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** What has become of the target. A state that cannot be read counts as `partial`, which is the one to be careful with. */
export function readLeftTarget(workDir: string): TargetState {
  try {
    const state = readJson(join(workDir, "state.json")) as { target?: TargetState } | null;
    return state === null ? "untouched" : (state.target ?? "partial");
  } catch {
    return "partial";
  }
}

/** Whether the run has succeeded already, so that all that is left is to end the machine. */
export function hasSucceeded(workDir: string): boolean {
  try {
    return (readJson(reportPath(workDir)) as { outcome?: string } | null)?.outcome === "success";
  } catch {
    return false; // a report that cannot be read proves nothing
  }
}
