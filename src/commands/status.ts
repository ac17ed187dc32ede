/** `reimage status`: whether this machine is armed, and what its next start would do. */
import { type ArmedFacts, findDamage, inspectArmed } from "../arming/inspect-armed.ts";
import { defaultStateDir, type KeptNote, readKeptNote } from "../arming/kept-note.ts";
import { isOneShotPending } from "../one-shot/one-shot.ts";
import { type Command, exitStatus } from "./command.ts";
import { parseStateDir } from "./disarm.ts";

export const statusCommand: Command = {
  name: "status",
  summary: "say whether this machine is armed, and what its next start would do",
  usage: `reimage status [options]

  --state DIR        where the old system keeps how it was armed (default ${defaultStateDir})
  --json             print it as JSON

Exit status: 0, 2 wrong usage, 3 it cannot be told.
`,
  async run(args) {
    const note = readKeptNote(parseStateDir(args));
    const status = note?.kind === "lifeboat" ? await describeLifeboat(await inspectArmed(note)) : await describe(note);
    process.stdout.write(args.includes("--json") ? `${JSON.stringify(status, null, 2)}\n` : format(status));
    return exitStatus.done;
  },
};

interface Status {
  readonly armed: boolean;
  readonly nextStart: string;
  readonly mode?: "ram" | "lifeboat";
  readonly method?: string;
  readonly disk?: string;
  readonly state?: string;
  readonly attempts?: number;
  readonly lastFailure?: string;
  readonly changed?: string;
  readonly todo?: string;
}

async function describe(note: Extract<KeptNote, { kind: "one-shot" }> | null): Promise<Status> {
  if (note === null) return { armed: false, nextStart: "the system that is installed" };
  const { method } = note.undo;
  const isPending = await isOneShotPending(note.undo);
  if (isPending === false) {
    const nextStart = "the system that is installed: reimage has had its one start";
    return { armed: false, mode: "ram", method, nextStart, todo: "reimage disarm, and arm again" };
  }
  return { armed: true, mode: "ram", method, nextStart: isPending ? "reimage, once" : "reimage, unless it was used" };
}

async function describeLifeboat({ disk, lifeboat, boots, change }: ArmedFacts): Promise<Status> {
  const changed = change ?? (lifeboat === null ? null : await findDamage(lifeboat));
  const nextStart = {
    lifeboat: "reimage, from the lifeboat",
    old: "the old system",
    foreign: "what somebody else has written into the boot sector",
  }[boots];
  const isArmed = boots === "lifeboat" && changed === null;
  const record = lifeboat?.record;
  return {
    armed: isArmed,
    mode: "lifeboat",
    disk: disk.path,
    ...(record === undefined ? {} : { state: record.state, attempts: record.attempts }),
    nextStart,
    ...(record?.reason == null ? {} : { lastFailure: record.reason }),
    ...(changed === null ? {} : { changed }),
    ...(isArmed ? {} : { todo: "reimage disarm, and arm again" }),
  };
}

function format(status: Status): string {
  const words: Readonly<Record<string, string>> = {
    armed: "Armed",
    mode: "Mode",
    method: "Boots by",
    disk: "Disk",
    state: "State",
    attempts: "Attempts",
    nextStart: "Next start",
    lastFailure: "Last failure",
    changed: "Changed",
    todo: "What to do",
  };
  const lines = Object.entries(status).map(
    ([key, value]) => `${(words[key] ?? key).padEnd(13)}${typeof value === "boolean" ? (value ? "yes" : "no") : value}`,
  );
  return `${lines.join("\n")}\n`;
}
