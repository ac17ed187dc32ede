/** `reimage status`: whether this machine is armed, and what its next start would do. */
import { type ArmedFacts, inspectArmed } from "../arming/inspect-armed.ts";
import { defaultStateDir, type KeptNote, readKeptNote } from "../arming/kept-note.ts";
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
    const facts = note?.kind === "lifeboat" ? await inspectArmed(note) : null;
    const status = describe(note, facts);
    process.stdout.write(args.includes("--json") ? `${JSON.stringify(status, null, 2)}\n` : format(status));
    return exitStatus.done;
  },
};

function describe(note: KeptNote | null, facts: ArmedFacts | null) {
  if (note === null) return { armed: false, nextStart: "the system that is installed" } as const;
  if (note.kind === "one-shot") {
    return { armed: true, mode: "ram", method: note.undo.method, nextStart: "reimage, once" } as const;
  }
  if (facts === null) {
    const nextStart = "unknown: the disk holds no whole lifeboat";
    return { armed: false, mode: "lifeboat", nextStart, todo: "reimage disarm, and arm again" } as const;
  }
  const { boots, change } = facts;
  const { state, attempts, reason } = facts.lifeboat.record;
  const nextStart = {
    lifeboat: "reimage, from the lifeboat",
    old: "the old system",
    foreign: "what somebody else has written into the boot sector",
  }[boots];
  return {
    armed: boots === "lifeboat" && change === null,
    mode: "lifeboat",
    disk: facts.lifeboat.disk.path,
    ...{ state, attempts, nextStart },
    ...(reason === null ? {} : { lastFailure: reason }),
    ...(change === null ? {} : { changed: change }),
    ...(boots === "lifeboat" && change === null ? {} : { todo: "reimage disarm, and arm again" }),
  };
}

function format(status: ReturnType<typeof describe>): string {
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
