/** Disarming: the old boot sector first, then everything else. What was cut in the middle is done again. */
import { withPrivateNode } from "../disk/private-node.ts";
import { ReimageError } from "../errors.ts";
import { writeProven } from "../lifeboat/boot-sectors.ts";
import { switchPlanOf } from "../lifeboat/header.ts";
import { releasePlace } from "../lifeboat/places/release.ts";
import { isOldOsWhole } from "../lifeboat/record.ts";
import { clearOneShot } from "../one-shot/one-shot.ts";
import { inspectArmed } from "./inspect-armed.ts";
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
    done.push(...(await restoreSwitch(note)));
    await releasePlace(note.undo);
    done.push(
      note.undo.kind === "swap"
        ? "the swap partition is swap space again"
        : note.undo.kind === "file"
          ? `${note.undo.path} is removed`
          : "the unpartitioned space is free again",
    );
  }
  removeKeptNote(stateDir);
  return done;
}

async function restoreSwitch(note: Parameters<typeof inspectArmed>[0]): Promise<string[]> {
  const facts = await inspectArmed(note);
  if (facts === null) return ["the disk holds no whole lifeboat; its boot sector was left as it is"];
  const { lifeboat, boots } = facts;
  if (!isOldOsWhole(lifeboat.record.state)) {
    throw new ReimageError("lifeboat", `the run has begun to write (state ${lifeboat.record.state})`, {
      hint: "this is not the old system any more: restart the machine, and it carries on",
    });
  }
  if (boots === "old") return ["the boot sector was the old one already"];
  if (boots === "foreign") {
    return ["somebody has changed the boot sector since; it was left as it is, and the machine boots what it says"];
  }
  const { sectorOffsetBytes, oldSector } = switchPlanOf(lifeboat.header);
  await withPrivateNode(lifeboat.disk.path, (device) =>
    writeProven(device, { offsetBytes: sectorOffsetBytes, data: oldSector }),
  );
  return ["the old boot sector is back: the old system boots"];
}
