/** What every stage is handed beside its own input. */

import type { Reporter, StageName, TargetState } from "../report/events.ts";
import type { Overseer } from "./overseer.ts";
import type { Restored } from "./restored.ts";

export interface StageContext {
  /** Where the image, the retained files and the record of the run are kept; in memory, in an initramfs. */
  readonly workDir: string;
  readonly reporter: Reporter;
  /** What this run is called. */
  readonly runId: string;
  readonly overseer: Overseer;
  /** How long to wait for disks that the configuration names; 0: they must be there now. */
  readonly waitSeconds: number;
  /** Records what has become of the target, durably over a crash of this process, before it becomes so. @throws ReimageError `aborted` */
  setTargetState(state: TargetState): void;
  /** Records what was restored, before the commit that makes it count. */
  keepRestored(restored: Restored): void;
}

/** Tells what a stage is doing, in words for the operator. */
export function step(context: StageContext, stage: StageName, message: string): void {
  context.reporter.emit({ type: "step", stage, message });
}

/** Tells the operator what he should look at, although the run goes on. */
export function warn(context: StageContext, stage: StageName, message: string): void {
  context.reporter.emit({ type: "warning", stage, message });
}
