/** What an earlier process of this run, which was killed, has left in the work directory. */
import { readFileSync } from "node:fs";
import { reportPath } from "../stages/record.ts";

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
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
