/**
 * Either a run begins to write, or it is aborted before: whoever comes first makes a file, whole or not at all, and it is
 * the only one (link(2) fails where the name is taken). It says which of the two it is, for as long as there is the run.
 */
import { linkSync, readFileSync, rmSync } from "node:fs";
import { ReimageError } from "../errors.ts";
import { keepFile } from "./keep-file.ts";
import { firstWritePath } from "./run-id.ts";

/** What was decided of a run's first write; `reason` is in the words of who aborted it. */
export type FirstWrite =
  | { readonly decided: "begun" }
  | { readonly decided: "aborted"; readonly reason: string }
  | { readonly decided: "open" };

/** What was decided so far. */
export function readFirstWrite(workDir: string, runId: string): FirstWrite {
  try {
    return JSON.parse(readFileSync(firstWritePath(workDir, runId), "utf8")) as FirstWrite;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { decided: "open" };
    throw error;
  }
}

/** Decides that the run begins to write. @throws ReimageError `aborted` where it was aborted. */
export function beginWriting(workDir: string, runId: string): void {
  decide(workDir, runId, { decided: "begun" });
  requireNotAborted(workDir, runId);
}

/** Decides that the run never writes. @returns what is so, whoever came first. */
export function abortFirstWrite(workDir: string, runId: string, reason: string): FirstWrite {
  decide(workDir, runId, { decided: "aborted", reason });
  return readFirstWrite(workDir, runId);
}

/** @throws ReimageError `aborted` */
export function requireNotAborted(workDir: string, runId: string): void {
  const found = readFirstWrite(workDir, runId);
  if (found.decided !== "aborted") return;
  throw new ReimageError("aborted", `the run was aborted: ${found.reason}`, {
    hint: "nothing was written; start again when you mean it",
  });
}

function decide(workDir: string, runId: string, decision: FirstWrite): void {
  const path = firstWritePath(workDir, runId);
  const own = `${path}.${process.pid}`;
  keepFile(own, JSON.stringify(decision));
  try {
    linkSync(own, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(own, { force: true });
  }
}
