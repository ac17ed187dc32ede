/**
 * How far a run has come, kept in the work directory: a process that is killed is started again and carries on from it.
 * The work directory is in memory and the kernel survives, so an atomic rename is all the durability that is needed.
 */
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import type { TargetState } from "../report/events.ts";
import { keepFile } from "./keep-file.ts";
import type { Restored } from "./restored.ts";
import type { Saved } from "./save.ts";
import type { Written } from "./write.ts";

/** `saved` and `written` are what those stages returned; null until then. */
export interface RunState {
  /** Of what stage save went by. The rest of the configuration may be corrected while a run is carried on. */
  readonly configSha256: string;
  readonly target: TargetState;
  readonly saved: Saved | null;
  readonly written: Written | null;
  /** What was restored, recorded before the commit. */
  readonly restored: Restored | null;
}

const statePath = (workDir: string) => join(workDir, "state.json");

/**
 * The state to carry on from: the one that an earlier process left behind, or a new one. What an earlier process had not
 * saved completely is started over.
 * @throws ReimageError `state` where a run with another image, target, old OS or retention list has begun to write.
 */
export function readState(workDir: string, config: Config): RunState {
  const configSha256 = digestOf(config);
  const fresh: RunState = { configSha256, target: "untouched", saved: null, written: null, restored: null };
  const left = readLeft(workDir);
  if (left === null || left.saved === null) return fresh;
  if (left.configSha256 === configSha256) return left;
  if (left.target === "untouched") return fresh;
  throw new ReimageError(
    "state",
    `${workDir} holds a run with another image, target, old OS or retention list that has begun to write`,
    {
      hint: `finish that run with its own configuration, or give it up for good by removing ${workDir}`,
    },
  );
}

function digestOf(config: Config): string {
  // Which servers the image is read from, and how patiently, may change: it is known by its digests.
  const { mirrors: _mirrors, ca: _ca, timeoutSeconds: _timeout, stallSeconds: _stall, ...image } = config.image;
  const { target, old, retention } = config;
  return createHash("sha256").update(JSON.stringify({ image, target, old, retention })).digest("hex");
}

/**
 * Makes a state that was brought back into another directory this machine's own: what names a device in the configuration
 * may be another name at each boot. @throws ReimageError `state` where there is none.
 */
export function adoptState(
  fromDir: string,
  workDir: string,
  config: Config,
  change: (left: RunState) => RunState,
): void {
  const left = readLeft(fromDir);
  if (left === null) throw new ReimageError("state", `${fromDir} has no state of a run to carry on`);
  writeState(workDir, { ...change(left), configSha256: digestOf(config) });
}

function readLeft(workDir: string): RunState | null {
  try {
    return JSON.parse(readFileSync(statePath(workDir), "utf8")) as RunState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ReimageError("state", `${statePath(workDir)} cannot be read`, {
      cause: error,
      hint: `whether the disk was written is not known; give up what was saved for good by removing ${workDir}`,
    });
  }
}

/** The state with a change (pure). What was restored was restored into what was written: it is gone with that. */
export function changeState(state: RunState, change: Partial<RunState>): RunState {
  const next = { ...state, ...change };
  return next.written === null ? { ...next, restored: null } : next;
}

/** Replaces the state, whole or not at all. */
export function writeState(workDir: string, state: RunState): void {
  keepFile(statePath(workDir), JSON.stringify(state));
}

/**
 * What has become of the target in the run that an earlier process left behind. Where that cannot be told it counts as
 * `partial`, which is the one to be careful with.
 */
export function readLeftTarget(workDir: string): TargetState {
  try {
    const left: Partial<RunState> | null = readLeft(workDir);
    return left === null ? "untouched" : (left.target ?? "partial");
  } catch {
    return "partial";
  }
}

/** Forgets a run that ended, or that has touched nothing: the image and the retained files are secrets, and take memory. */
export function forgetRun(workDir: string): void {
  for (const name of [
    "state.json",
    "image",
    "image-plan.json",
    "retained.tar",
    "retained.tar.ndjson",
    "first-mib",
    "outline",
  ]) {
    rmSync(join(workDir, name), { force: true });
    rmSync(join(workDir, `${name}.new`), { force: true });
  }
}
