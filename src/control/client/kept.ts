/** What the client knows beyond its queue, kept over the processes of a run. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { bootInfoSchema, type WireBootInfo } from "../protocol/machine.ts";

export interface Kept {
  /** The run that the rest is about; null: none yet. */
  readonly runId: string | null;
  /** Whether the endpoint has said that this run shall reinstall the machine. */
  readonly isInstructed: boolean;
  /** What the new OS is told of itself; null before it is. */
  readonly bootInfo: WireBootInfo | null;
  /** The token from the old OS, which is mounted for a while only. A secret, as is all of the work directory. */
  readonly oldToken: string | null;
  /** SHA-256 of the report.json that was put into the queue last, of whatever run. */
  readonly reportedSha256: string | null;
}

export interface Keeper {
  get(): Kept;
  /** What is about another run than this one counts no more. */
  begin(runId: string): void;
  change(change: Partial<Omit<Kept, "runId">>): void;
}

/** What an earlier process has kept, of this run or of the one before. */
export function openKept(path: string): Keeper {
  const nothing: Kept = { runId: null, isInstructed: false, bootInfo: null, oldToken: null, reportedSha256: null };
  let kept: Kept = { ...nothing, ...readLeft(path) };
  function change(changed: Partial<Kept>): void {
    kept = { ...kept, ...changed };
    writeFileSync(`${path}.new`, JSON.stringify(kept), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return {
    get: () => kept,
    change,
    begin(runId) {
      if (kept.runId !== runId) change({ runId, isInstructed: false, bootInfo: null });
    },
  };
}

function readLeft(path: string): Partial<Kept> | null {
  try {
    const left = JSON.parse(readFileSync(path, "utf8")) as Partial<Kept>;
    const bootInfo = bootInfoSchema.safeParse(left.bootInfo);
    return { ...left, bootInfo: bootInfo.success ? bootInfo.data : null };
  } catch {
    return null; // not there; or somebody else wrote it, and then nothing in it counts
  }
}
