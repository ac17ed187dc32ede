/** What the old OS keeps of how it was armed, so that another process, after a reboot too, can look at it or take it back. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { ReimageError } from "../errors.ts";
import type { PlaceUndo } from "../lifeboat/places/place.ts";
import type { OneShotUndo } from "../one-shot/one-shot.ts";

/** Where it is, unless `--state` says otherwise. */
export const defaultStateDir = "/var/lib/reimage";

export type KeptNote =
  | {
      readonly kind: "lifeboat";
      readonly uuid: string;
      /** Of the boot extent, as an absolute byte of the disk. */
      readonly offsetBytes: number;
      readonly undo: PlaceUndo;
    }
  /** RAM mode. */
  | { readonly kind: "one-shot"; readonly undo: OneShotUndo };

const notePath = (stateDir: string) => join(stateDir, "armed.json");

/** Written whole or not at all, and on the disk when this returns. */
export function writeKeptNote(stateDir: string, note: KeptNote): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = notePath(stateDir);
  const fd = openSync(`${path}.new`, "w", 0o600);
  try {
    writeSync(fd, JSON.stringify(note));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  syncDirectory(dirname(path));
  syncDirectory(dirname(dirname(path)));
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
