/**
 * What of the work directory goes into the lifeboat, and comes back from it after a power cut. What is parked is what a
 * killed process would have left in memory, so a run carries on in the same way.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { Disk } from "../disk/inventory.ts";
import type { Lifeboat } from "../lifeboat/lifeboat.ts";
import type { LifeboatState } from "../lifeboat/record.ts";
import { adoptState, type RunState } from "./state.ts";

/** The files that hold what the machine was: overwritten before the commit. */
const retainedNames = ["retained.tar", "retained.tar.ndjson", "savedperms"];
const stateName = "state.json";
/** The files that hold how far the run is; those that are not there yet are left out. */
const factNames = ["image-plan.json", "first-mib", "run-id", stateName];

/** The room that the facts need: the first MiB, the state, and a line for every few MiB of image. */
export function factsRoomBytes(pieceCount: number): number {
  const lineBytes = 256; // of a piece: two numbers and a digest
  return (4 << 20) + pieceCount * lineBytes;
}

/** Parks the retained files and the state: from here on the old OS is not needed any more. State `saved`. */
export async function parkSaved(lifeboat: Lifeboat, workDir: string): Promise<void> {
  const retained = await lifeboat.parkRetained(workDir, present(workDir, retainedNames));
  const facts = await lifeboat.parkFacts(workDir, present(workDir, factNames));
  await lifeboat.advance({ state: "saved", retained, facts, reason: null });
}

/** Parks how far the run is, and then says so. */
export async function parkProgress(lifeboat: Lifeboat, workDir: string, state: LifeboatState): Promise<void> {
  const facts = await lifeboat.parkFacts(workDir, present(workDir, factNames));
  await lifeboat.advance({ state, facts, reason: null });
}

/** Overwrites the parked files, once they are in the new OS and proven, so that no secret stays behind. */
export async function discardParked(lifeboat: Lifeboat): Promise<void> {
  if (lifeboat.record.state !== "restored" || lifeboat.record.retained === null) return;
  await lifeboat.discardRetained();
  await lifeboat.advance({ retained: null });
}

/**
 * Brings back what was parked, into a work directory that holds no run.
 * @throws ReimageError `lifeboat` where the disk does not hold it any more.
 */
export async function unpackParked(lifeboat: Lifeboat, workDir: string, config: Config): Promise<void> {
  if (existsSync(join(workDir, stateName))) return; // the program was killed, and not the machine
  const { state, facts } = lifeboat.record;
  if (facts === null) return;
  // Once they are restored they are being overwritten, and may be half gone.
  if (state !== "restored" && state !== "committed") await lifeboat.unpackRetained(workDir);
  // Beside the work directory's own files: the state says that everything is there, so it comes last and as this boot's own.
  const parkedDir = join(workDir, "parked");
  mkdirSync(parkedDir, { recursive: true, mode: 0o700 });
  await lifeboat.unpackFacts(parkedDir);
  for (const name of present(parkedDir, factNames)) {
    if (name !== stateName) renameSync(join(parkedDir, name), join(workDir, name));
  }
  adoptState(parkedDir, workDir, config, (left) => carryOn(left, state, lifeboat.disk));
  rmSync(parkedDir, { recursive: true });
}

/**
 * The state as the record says it, on the disk as this boot knows it: what is parked may be ahead of the record (pure). Until
 * it is restored the image is written again: a file system that was mounted when the power went may be torn, or damaged
 * where nobody sees it.
 */
export function carryOn(left: RunState, state: LifeboatState, disk: Disk): RunState {
  const saved = left.saved === null ? null : { ...left.saved, target: disk };
  const target = state === "saved" ? "untouched" : state === "committed" ? "complete" : "partial";
  const isRestored = state === "restored" || state === "committed";
  const { written, restored } = isRestored ? left : { written: null, restored: null };
  return { ...left, saved, target, written, restored };
}

function present(workDir: string, names: readonly string[]): string[] {
  return names.filter((name) => existsSync(join(workDir, name)));
}
