/** How `reimage init` ends: the old OS comes back where it is whole, and the machine goes on as it is configured to. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/schema.ts";
import { describeError, type ErrorCode } from "../errors.ts";
import { isAttemptCounted, isLifeboatNoted } from "../init/boarding.ts";
import type { Console } from "../init/consoles.ts";
import { decideEnding, type Ending, endMachine } from "../init/ending.ts";
import { LOST_STATUS, RESCUE_STATUS } from "../init/exit-status.ts";
import type { Guardian } from "../init/guardian.ts";
import type { Watchdog } from "../init/watchdog.ts";
import { abandonLifeboat } from "../lifeboat/abandon.ts";
import type { Lifeboat } from "../lifeboat/lifeboat.ts";
import type { Reporter, TargetState } from "../report/events.ts";
import type { Control, LateSink } from "./control.ts";

/** So that the reason of a failure can be read before the machine goes on by itself. */
const FAILURE_PAUSE_MILLISECONDS = 5000;
const DRAIN_MILLISECONDS = 5000;

/** The session of `reimage init`: what is opened once and lives to the end. */
export interface Session {
  readonly consoles: readonly Console[];
  readonly reporter: Reporter;
  readonly guardian: Guardian;
  readonly lateSink: LateSink;
}

/** How a run ended, and what the configuration makes of it; without a configuration, a person has to look. */
export interface Ended {
  readonly outcome: "success" | "failed";
  readonly target: TargetState;
  /** Of the error that ended it. */
  readonly code: ErrorCode | null;
  readonly config: Config | null;
  readonly watchdog: Watchdog | null;
  readonly control: Control;
  /** What the machine was booted from; null: something else. */
  readonly lifeboat: Lifeboat | null;
  /** Why the run failed, in one line; null: it did not. */
  readonly reason: string | null;
}

/** Ends the machine, or exits with `RESCUE_STATUS`. */
export async function endRun(ended: Ended, session: Session, workDir: string): Promise<never> {
  const { consoles, guardian, reporter } = session;
  const { outcome, target, config, watchdog, control } = ended;
  const isBack = await leaveLifeboat(ended, reporter);
  const how: Ending =
    config === null
      ? isBack
        ? "reboot"
        : "rescue"
      : decideEnding({
          ...{ outcome, target, onSuccess: config.onSuccess, onFailure: config.onFailure },
          isOldOsWanted: isBack || ended.code === "control" || ended.code === "aborted",
          isRescueWanted: !isBack && control.isRescueWanted(),
          isRepeatable: isAttemptCounted(workDir) && isRepeatable(ended.lifeboat),
        });
  const drain = () => Promise.all(consoles.map((console) => console.drain(DRAIN_MILLISECONDS)));
  await Promise.all([drain(), control.finish()]); // the words for the person do not wait for the endpoint
  await control[Symbol.asyncDispose]();
  await drain();
  if (how !== "rescue") {
    if (outcome === "failed") await sleep(FAILURE_PAUSE_MILLISECONDS);
    // Over a reboot the watchdog runs on, for firmware that hangs; after power off it would start the machine again.
    watchdog?.feed();
    if (how === "poweroff") watchdog?.stop();
    await endMachine(how, workDir, async (problem) => {
      warn(reporter, describeError(problem));
      await drain();
    });
  }
  guardian[Symbol.dispose]();
  watchdog?.stop();
  process.exit(isLifeboatLost(ended) ? LOST_STATUS : RESCUE_STATUS);
}

/** Whether no disk has the lifeboat that the machine was booted from: not that several have it, or a wrong one. */
function isLifeboatLost({ lifeboat, code }: Ended): boolean {
  return lifeboat === null && code === "target" && isLifeboatNoted();
}

/** Whether starting the machine again carries on with the run. */
function isRepeatable(lifeboat: Lifeboat | null): boolean {
  return lifeboat !== null && lifeboat.record.attempts < lifeboat.header.mostAttempts;
}

/**
 * After a failure: puts the old OS back where it is whole, else notes the reason. After a success: leaves nothing of this
 * machine in the lifeboat. @returns whether the old OS boots again
 */
async function leaveLifeboat({ lifeboat, outcome, target, reason }: Ended, reporter: Reporter): Promise<boolean> {
  if (lifeboat === null) return false;
  try {
    if (outcome === "success") await lifeboat.wipe();
    else if (target === "untouched") {
      await abandonLifeboat(lifeboat, reason ?? "unknown");
      reporter.emit({ type: "step", stage: null, message: "the old boot sector is back: the old OS boots again" });
      return true;
    } else if (target === "partial") await lifeboat.advance({ reason });
  } catch (error) {
    warn(reporter, `the lifeboat: ${describeError(error)}`);
  }
  return false;
}

export function warn(reporter: Reporter, message: string): void {
  reporter.emit({ type: "warning", stage: null, message });
}
