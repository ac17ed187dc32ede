/** The whole run: the three stages in order, what is kept between them, and how it ends. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { identityOf } from "../disk/inventory.ts";
import { unmountBelow } from "../disk/mounts.ts";
import { asReimageError, describeError, ReimageError } from "../errors.ts";
import type { EfiVariables } from "../firmware/efi-variables.ts";
import { type BootSectors, plainBootSectors } from "../image/boot-sectors.ts";
import { lifeboatBootSectors } from "../lifeboat/boot-sectors.ts";
import type { Lifeboat } from "../lifeboat/lifeboat.ts";
import type { Reporter, StageName, TargetState } from "../report/events.ts";
import { writeReport } from "../report/report-json.ts";
import { type StageContext, step } from "./context.ts";
import { beginWriting, requireNotAborted } from "./first-write.ts";
import type { Overseer } from "./overseer.ts";
import { discardParked, parkProgress, parkSaved } from "./parking.ts";
import { protectOthers } from "./protect.ts";
import { reportFor, reportPath, savedPermissionsPath } from "./record.ts";
import { restore } from "./restore.ts";
import { type Saved, save } from "./save.ts";
import { changeState, forgetRun, type RunState, readLeftTarget, readState, writeState } from "./state.ts";
import { write } from "./write.ts";

/** How a run ended. */
export type Outcome =
  | { readonly kind: "success"; readonly target: "complete" }
  | {
      readonly kind: "failed";
      readonly stage: StageName | null;
      readonly target: TargetState;
      readonly error: ReimageError;
    };

export interface RunOptions {
  readonly workDir: string;
  /** `openRunId` */
  readonly runId: string;
  readonly overseer: Overseer;
  readonly reporter: Reporter;
  readonly waitSeconds: number;
  readonly version: string;
  /** What the machine was booted from, to carry on over power cuts; null: everything is kept in memory alone. */
  readonly lifeboat: Lifeboat | null;
  /** Where the new OS gets its boot entry; null: BIOS, or another machine will boot the target. */
  readonly bootVariables: EfiVariables | null;
}

/**
 * Runs save, write and restore, carrying on where a killed process of the same run stopped. The caller holds the lock of
 * the work directory (`lockWorkDir`). Never throws: every ending is an outcome, an event and a report.json.
 */
export async function runStages(config: Config, options: RunOptions): Promise<Outcome> {
  const { workDir, runId, reporter, overseer, lifeboat } = options;
  const bootSectors: BootSectors = lifeboat === null ? plainBootSectors : lifeboatBootSectors(lifeboat.header);
  let state: RunState | null = null;
  let stage: StageName | null = null;

  function keep(change: Partial<RunState>): void {
    if (state === null) return;
    const next = changeState(state, change);
    if (change.target === "complete") state = next; // that is so, whether it can be recorded or not
    writeState(workDir, next);
    state = next;
  }
  const aboard = lifeboat === null ? {} : ({ hasLifeboat: true } as const);
  const context: StageContext = {
    ...{ workDir, runId, overseer, reporter, lifeboat, bootSectors, isLiving: false },
    ...{ waitSeconds: options.waitSeconds, bootVariables: options.bootVariables },
    async keepRestored(restored) {
      keep({ restored });
      if (lifeboat === null) return;
      await parkProgress(lifeboat, workDir, "restored");
      await discardParked(lifeboat);
    },
    async setTargetState(target) {
      if (state?.target === "untouched") beginWriting(workDir, runId);
      keep({ target });
      if (target === "partial") await lifeboat?.advance({ state: "writing" });
      reporter.emit({ type: "target-state", state: target, ...aboard });
      // It is so, whether it can be written down or not: the lifeboat boots no more.
      if (target === "complete") await lifeboat?.advance({ state: "committed" }).catch(() => {});
    },
  };
  async function timed<T>(name: StageName, run: () => Promise<T>): Promise<T> {
    stage = name;
    if (state?.target === "untouched") requireNotAborted(workDir, runId);
    const start = performance.now();
    reporter.emit({ type: "stage-started", stage: name });
    const result = await run();
    reporter.emit({ type: "stage-finished", stage: name, seconds: (performance.now() - start) / 1000 });
    return result;
  }

  try {
    await unmountBelow(join(workDir, "mnt")); // left over from a killed process
    state = readState(workDir, config);
    const restarted = state.saved !== null;
    if (!restarted) forgetRun(workDir);
    reporter.emit({ type: "run-started", version: options.version, restarted, ...aboard });

    if (state.target === "complete") return succeed(state); // killed between the commit and the last word
    const saved = state.saved ?? (await timed("save", () => saveAfresh(config, context)));
    keep({ saved });
    if (lifeboat?.record.state === "armed") {
      await parkSaved(lifeboat, workDir);
      step(context, "save", "image and retained files are in the lifeboat, and were read back");
    }
    await using _protection = await protectOthers(saved.target, context);
    const written =
      state.written ?? (await timed("write", () => write(config, saved, context, state?.target ?? "partial")));
    keep({ written });
    if (lifeboat?.record.state === "writing") await parkProgress(lifeboat, workDir, "written");
    // What is restored is restored again as long as the files are there; in the lifeboat they are overwritten then.
    const restored = lifeboat === null ? null : state.restored;
    if (restored !== null && lifeboat !== null) await discardParked(lifeboat); // its power may have been cut while it did
    await timed("restore", () => restore(config, saved, written, context, restored));
    return succeed(state);
  } catch (thrown) {
    return await fail(asReimageError(thrown));
  }

  function succeed({ saved, written, restored }: RunState): Outcome {
    if (saved === null) throw new ReimageError("bug", "a run is complete that has saved nothing");
    const report = reportFor(workDir, runId, { outcome: "success" }, saved, written, restored?.retained ?? null);
    writeReport(reportPath(workDir), report);
    reporter.emit({ type: "run-finished", target: "complete", disk: identityOf(saved.target) });
    forgetRun(workDir);
    return { kind: "success", target: "complete" };
  }

  async function fail(error: ReimageError): Promise<Outcome> {
    const target = state?.target ?? readLeftTarget(workDir);
    await unmountBelow(join(workDir, "mnt")).catch(() => {}); // the failure itself says more
    reporter.emit({
      type: "run-failed",
      stage,
      target,
      code: error.code,
      reason: describeError(error),
      hint: error.hint ?? null,
      ...aboard,
    });
    const ending = { outcome: "failed", stage, target, error } as const;
    if (target !== "partial") forgetRun(workDir); // first, for it may be what leaves no room for the report
    try {
      const report = reportFor(workDir, runId, ending, state?.saved ?? null, state?.written ?? null, null);
      writeReport(reportPath(workDir), report);
    } catch (cause) {
      const message = `${reportPath(workDir)} cannot be written: ${describeError(cause)}`;
      reporter.emit({ type: "warning", stage, message });
    }
    return { kind: "failed", stage, target, error };
  }
}

async function saveAfresh(config: Config, context: StageContext): Promise<Saved> {
  rmSync(savedPermissionsPath(context.workDir), { force: true });
  return await save(config, context);
}
