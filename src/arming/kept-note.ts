/** What the old OS keeps of how it was armed, so that another process, after a reboot too, can look at it or take it back. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ReimageError } from "../errors.ts";
import type { Region } from "../image/regions.ts";
import type { PlaceUndo } from "../lifeboat/places/place.ts";
import type { SwitchForm, SwitchPlan } from "../lifeboat/switch/switch-plan.ts";
import type { OneShotUndo } from "../one-shot/one-shot.ts";
import { lockExclusive, SystemCallError } from "../system/libc.ts";

/** Where it is, unless `--state` says otherwise. */
export const defaultStateDir = "/var/lib/reimage";

export type KeptNote =
  | {
      readonly kind: "lifeboat";
      readonly uuid: string;
      /** Of the boot extent, as an absolute byte of the disk. */
      readonly offsetBytes: number;
      readonly undo: PlaceUndo;
      /** The header has it too; but the header may be damaged, and then this is what brings the old OS back. */
      readonly switching: KeptSwitch;
    }
  /** RAM mode. */
  | { readonly kind: "one-shot"; readonly undo: OneShotUndo };

/** What of the switch it takes to see where it stands, and to put the old sector back. */
export interface KeptSwitch {
  readonly form: SwitchForm;
  readonly sectorSizeBytes: number;
  readonly sectorOffsetBytes: number;
  readonly bootVolume: Region;
  /** Base64, one sector each. */
  readonly lifeboatSector: string;
  readonly oldSector: string;
}

export function keepSwitch(plan: SwitchPlan): KeptSwitch {
  const { form, sectorSizeBytes, sectorOffsetBytes, bootVolume, lifeboatSector, oldSector } = plan;
  return {
    ...{ form, sectorSizeBytes, sectorOffsetBytes, bootVolume },
    lifeboatSector: lifeboatSector.toString("base64"),
    oldSector: oldSector.toString("base64"),
  };
}

const notePath = (stateDir: string) => join(stateDir, "armed.json");

/**
 * Holds the directory of the note, which is made, for this process until it ends or disposes of it: of two that arm, one would
 * take the other's sector for the old one; and who disarms what is being armed would believe that it is over.
 * @throws ReimageError `state` where another process holds it, or it cannot be made.
 */
export async function holdStateDir(stateDir: string): Promise<AsyncDisposable> {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw notKept(stateDir, cause);
  }
  const directory = await open(stateDir, "r");
  try {
    lockExclusive(directory.fd, stateDir);
    return directory;
  } catch (cause) {
    await directory.close();
    if (!(cause instanceof SystemCallError) || !["EWOULDBLOCK", "EAGAIN"].includes(cause.code)) throw cause;
    throw new ReimageError("state", "another reimage is arming or disarming this machine at this moment", {
      hint: "wait until it ends, and see by `reimage status` what it has come to",
    });
  }
}

/**
 * Written whole or not at all, and on the disk when this returns.
 * @throws ReimageError `state` where that cannot be: a file system that is full, or read-only.
 */
export function writeKeptNote(stateDir: string, note: KeptNote): void {
  const path = notePath(stateDir);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const fd = openSync(`${path}.new`, "w", 0o600);
    try {
      writeFileSync(fd, JSON.stringify(note)); // all of it, or an error
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
    syncDirectory(dirname(path));
    syncDirectory(dirname(dirname(path)));
  } catch (cause) {
    throw notKept(path, cause);
  }
}

function notKept(path: string, cause: unknown): ReimageError {
  return new ReimageError("state", `the note that disarming needs cannot be written to ${path}`, {
    cause,
    hint: "make room there, or name another directory that outlasts a restart with --state",
  });
}

/** Null where this machine is not armed. @throws ReimageError `state` where the note cannot be read. */
export function readKeptNote(stateDir: string): KeptNote | null {
  try {
    return JSON.parse(readFileSync(notePath(stateDir), "utf8")) as KeptNote;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ReimageError("state", `${notePath(stateDir)} cannot be read`, { cause });
  }
}

export function removeKeptNote(stateDir: string): void {
  rmSync(notePath(stateDir), { force: true });
  rmSync(`${notePath(stateDir)}.new`, { force: true });
  syncDirectory(stateDir);
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
