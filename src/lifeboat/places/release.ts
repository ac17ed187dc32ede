/** Gives a place back, and says whether it is still ours. */
import { checkFile, releaseFile } from "./file-release.ts";
import { checkGap } from "./gap.ts";
import type { PlaceUndo } from "./place.ts";
import { checkSwap, releaseSwap } from "./swap-release.ts";

/**
 * Gives a place back to the old OS. What was done already is not done again, so a release that was cut can be repeated.
 * Unpartitioned space needs nothing: what lies in it belongs to nobody.
 * @param isOldOsRunning false in the lifeboat: the swap partition becomes swap space again and is not switched on; a file
 * cannot be removed there, which the old OS has to do.
 * @throws ReimageError `lifeboat` where it holds something else by now, or its disk or file system is not there.
 */
export async function releasePlace(undo: PlaceUndo, isOldOsRunning = true): Promise<void> {
  if (undo.kind === "swap") await releaseSwap(undo, isOldOsRunning);
  if (undo.kind === "file" && isOldOsRunning) await releaseFile(undo);
}

/**
 * Whether a sealed place is as it was left, on the running old OS. @returns what has changed, in words; null where nothing has.
 * @throws ReimageError `lifeboat` where its disk or file system is not there.
 */
export async function checkPlace(undo: PlaceUndo): Promise<string | null> {
  if (undo.kind === "gap") return await checkGap(undo);
  return undo.kind === "swap" ? await checkSwap(undo) : await checkFile(undo);
}
