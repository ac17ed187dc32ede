/** `reimage disarm`: takes back what `reimage arm` did. */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { disarm } from "../arming/disarm.ts";
import { defaultStateDir, holdStateDir } from "../arming/kept-note.ts";
import { removeLeftFolders } from "../arming/work-folder.ts";
import { ReimageError } from "../errors.ts";
import { type Command, exitStatus } from "./command.ts";

export const disarmCommand: Command = {
  name: "disarm",
  summary: "take back what `arm` did: this machine starts its old system again",
  usage: `reimage disarm [options]

Puts the old boot sector back, and gives the place of the lifeboat back to the old system. Can be repeated.

  --state DIR        where the old system keeps how it was armed (default ${defaultStateDir})

Exit status: 0 the machine is not armed (any more), 2 wrong usage, 3 it could not be disarmed.
`,
  async run(args) {
    const stateDir = parseStateDir(args);
    await using _held = existsSync(stateDir) ? await holdStateDir(stateDir) : null;
    await removeLeftFolders();
    const done = await disarm(stateDir);
    process.stdout.write(done.length === 0 ? "This machine is not armed.\n" : `Disarmed: ${done.join("; ")}.\n`);
    return exitStatus.done;
  },
};

/** `--state`, which `disarm` and `status` share. @throws ReimageError `usage`, also for who is not root. */
export function parseStateDir(args: readonly string[]): string {
  if (process.geteuid?.() !== 0)
    throw new ReimageError("usage", "reimage reads disks and needs root", { hint: "use sudo" });
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { state: { type: "string" }, json: { type: "boolean" } },
    });
    return values.state ?? defaultStateDir;
  } catch (cause) {
    throw new ReimageError("usage", cause instanceof Error ? cause.message : String(cause), { hint: "see --help" });
  }
}
