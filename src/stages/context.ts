/** What every stage is handed beside its own input. */

import { randomUUID } from "node:crypto";
import type { EfiVariables } from "../firmware/efi-variables.ts";
import { type BootSectors, plainBootSectors } from "../image/boot-sectors.ts";
import type { Lifeboat } from "../lifeboat/lifeboat.ts";
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
  /** What the machine has booted from, and goes back to when its power is cut; null: everything is in memory alone. */
  readonly lifeboat: Lifeboat | null;
  readonly bootSectors: BootSectors;
  /** Of the firmware that will boot the target; null: BIOS, or another machine will boot it. */
  readonly bootVariables: EfiVariables | null;
  /** Whether the old OS is running: it is only looked at then, where it is mounted already. */
  readonly isLiving: boolean;
  /**
   * Records what has become of the target before it becomes so, durably over a crash of this process, and with a lifeboat
   * over a power cut. @throws ReimageError `aborted`
   */
  setTargetState(state: TargetState): Promise<void>;
  /** Records what was restored, before the commit that makes it count. */
  keepRestored(restored: Restored): Promise<void>;
}

/** The context of what judges a run and never begins it. */
export function lookingContext(
  given: Pick<StageContext, "workDir" | "overseer" | "reporter" | "isLiving">,
): StageContext {
  const neverWrites = async () => {};
  return {
    ...given,
    ...{ runId: randomUUID(), waitSeconds: 0, lifeboat: null, bootSectors: plainBootSectors, bootVariables: null },
    ...{ setTargetState: neverWrites, keepRestored: neverWrites },
  };
}

/** Tells what a stage is doing, in words for the operator. */
export function step(context: StageContext, stage: StageName, message: string): void {
  context.reporter.emit({ type: "step", stage, message });
}

/** Tells the operator what he should look at, although the run goes on. */
export function warn(context: StageContext, stage: StageName, message: string): void {
  context.reporter.emit({ type: "warning", stage, message });
}
