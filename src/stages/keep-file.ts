/** Files of the work directory that must be whole, because a process that is started again relies on them. */
import { renameSync, writeFileSync } from "node:fs";
import { ReimageError } from "../errors.ts";

/** Replaces a file of the work directory, whole or not at all. @throws ReimageError `memory` where there is no room. */
export function keepFile(path: string, data: string | Buffer): void {
  const temporary = `${path}.new`;
  try {
    writeFileSync(temporary, data, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (cause) {
    throw new ReimageError("memory", `${path} cannot be written`, {
      cause,
      hint: "something else has filled the work directory; make room, and start again",
    });
  }
}
