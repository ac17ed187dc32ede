/** A small disk in memory that can be filled, emptied and made read-only. Needs root. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { runTestCommand } from "./loop-device.ts";
import { fillUp, mountTmpfs } from "./tmpfs.ts";

export interface SmallDisk extends AsyncDisposable {
  readonly dir: string;
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives it back. */
  makeRoom(): void;
  setReadOnly(isReadOnly: boolean): Promise<void>;
}

const FILLER = "filler";

export async function mountSmallDisk(sizeBytes: number): Promise<SmallDisk> {
  const tmpfs = await mountTmpfs(sizeBytes);
  return {
    dir: tmpfs.dir,
    fill: () => fillUp(tmpfs.dir, FILLER),
    makeRoom: () => rmSync(join(tmpfs.dir, FILLER)),
    setReadOnly: async (isReadOnly) => {
      await runTestCommand(["mount", "-o", `remount,${isReadOnly ? "ro" : "rw"}`, tmpfs.dir]);
    },
    [Symbol.asyncDispose]: () => tmpfs[Symbol.asyncDispose](),
  };
}
