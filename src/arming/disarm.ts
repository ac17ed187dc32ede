/** Disarming: the old boot sector first, then everything else. What was cut in the middle is done again. */
import { withPrivateNode } from "../disk/private-node.ts";
import { ReimageError } from "../errors.ts";
import { writeProven } from "../lifeboat/boot-sectors.ts";
import type { PlaceUndo } from "../lifeboat/places/place.ts";
import { releasePlace } from "../lifeboat/places/release.ts";
import { isOldOsWhole } from "../lifeboat/record.ts";
import { withOldTable } from "../lifeboat/switch/mbr-sector.ts";
import { clearOneShot } from "../one-shot/one-shot.ts";
import { type ArmedFacts, inspectArmed, type LifeboatNote } from "./inspect-armed.ts";
import { readKeptNote, removeKeptNote } from "./kept-note.ts";

/**
 * Takes everything back that arming did.
 * @returns what was done and found, a line each; none where the machine was not armed.
 * @throws ReimageError `lifeboat` where the run has begun to write, or something cannot be given back.
 */
export async function disarm(stateDir: string): Promise<string[]> {
  const note = readKeptNote(stateDir);
  if (note === null) return [];
  const done: string[] = [];
  if (note.kind === "one-shot") {
    await clearOneShot(note.undo);
    done.push("the next boot is the old system's again");
  } else {
    done.push(...(await takeBack(note)));
  }
  removeKeptNote(stateDir);
  return done;
}

async function takeBack(note: LifeboatNote): Promise<string[]> {
  const facts = await inspectArmed(note);
  const { lifeboat, boots, change } = facts;
  const hasBegun = lifeboat !== null && !isOldOsWhole(lifeboat.record.state);
  if (boots === "foreign" && (hasBegun || lifeboat === null)) {
    // Whose disk that is by now cannot be told: the note may have come along into a new system, with what is left of the lifeboat.
    return ["the disk boots something else and holds no lifeboat of this system; nothing was changed"];
  }
  if (hasBegun) {
    throw new ReimageError("lifeboat", `the run has begun to write (state ${lifeboat.record.state})`, {
      hint: "this is not the old system any more: restart the machine, and it carries on",
    });
  }
  const done = await restoreSwitch(facts, note);
  // Configuration and image would stay in what is free space then. What lies at a place that has changed may be anybody's.
  if (change === null && boots !== "foreign") await lifeboat?.wipe();
  await releasePlace(note.undo);
  return [done, describeRelease(note.undo)];
}

async function restoreSwitch({ disk, boots, switchSector }: ArmedFacts, { switching }: LifeboatNote): Promise<string> {
  const oldSector = Buffer.from(switching.oldSector, "base64");
  const put = (data: Buffer): Promise<void> =>
    withPrivateNode(disk.path, (device) => writeProven(device, { offsetBytes: switching.sectorOffsetBytes, data }));
  if (boots === "old") return "the boot sector was the old one already";
  if (boots === "lifeboat") {
    await put(oldSector);
    return "the old boot sector is back: the old system boots";
  }
  const merged = switching.form === "mbr" ? withOldTable(switchSector, oldSector, switching) : null;
  if (merged === null)
    return "somebody has changed the boot sector since; it was left as it is, and the machine boots what it says";
  await put(merged);
  return "somebody has changed the boot code since; it was left as it is, and the old partitions are back in the boot sector";
}

function describeRelease(undo: PlaceUndo): string {
  if (undo.kind === "swap") return "the swap partition is swap space again";
  return undo.kind === "file" ? `${undo.path} is removed` : "the unpartitioned space is free again";
}
