/** A run that is followed while it is under way: stopped at a gate, looked at, killed. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Event } from "../../src/report/events.ts";
import { type CliOptions, type CliResult, startCli } from "./cli.ts";
import { runTestCommand } from "./loop-device.ts";
import type { Kiosk } from "./open-kiosk.ts";
import { eventsOf } from "./refusals.ts";

const POLL_MS = 2;

/** A run under way; disposing kills it, if it has not ended. */
export interface FollowedRun extends AsyncDisposable {
  readonly pid: number;
  readonly finished: Promise<CliResult>;
  /** Waits until an event of this run satisfies `isWanted`. Throws where the run ends first. */
  untilEvent(isWanted: (event: Event) => boolean): Promise<Event>;
  /** Waits until something is so. Throws where the run ends first. */
  until<T>(look: () => Promise<T | null> | T | null): Promise<T>;
  /** Kills it with SIGKILL, and waits until it is gone. Throws where it ended by itself first. */
  kill(): Promise<void>;
}

/** Starts `reimage run --yes` with the kiosk's configuration. */
export function startRun(kiosk: Kiosk, more: readonly string[] = [], options: CliOptions = {}): FollowedRun {
  const earlier = eventsOf(kiosk).at(-1)?.seq ?? 0;
  const process = startCli(["run", "--yes", ...kiosk.arguments, ...more], options);
  let result: CliResult | null = null;
  const finished = process.finished.then((ended) => {
    result = ended;
    return ended;
  });

  async function until<T>(look: () => Promise<T | null> | T | null): Promise<T> {
    for (;;) {
      const hasEnded = result !== null;
      const found = await look();
      if (found !== null) return found;
      if (hasEnded) throw new Error(`the run ended before that: ${JSON.stringify(result)}`);
      await Bun.sleep(POLL_MS);
    }
  }
  return {
    pid: process.pid,
    finished,
    until,
    untilEvent: (isWanted) => until(() => eventsOf(kiosk).find((e) => e.seq > earlier && isWanted(e)) ?? null),
    async kill() {
      process.kill();
      const ended = await finished;
      if (ended.signal !== "SIGKILL") throw new Error(`the run ended before it was killed: ${JSON.stringify(ended)}`);
    },
    async [Symbol.asyncDispose]() {
      process.kill();
      await finished;
    },
  };
}

/** A place where a run stops: it opens a FIFO for writing, and waits there until somebody reads. */
export interface Gate {
  /** Lets the run go on, and returns what it wrote, which is lost to it as a file is that could not be kept. */
  open(): Promise<Buffer>;
  /** Takes the FIFO away, after the run was killed at it. */
  remove(): void;
}

/** Makes the run stop when it next writes `name` in its work directory. */
export async function closeGate(kiosk: Kiosk, name: string): Promise<Gate> {
  const path = join(kiosk.workDir, `${name}.new`); // files are written under this name, then renamed
  await runTestCommand(["mkfifo", path]);
  return {
    async open() {
      await using reader = await open(path, "r");
      return await reader.readFile();
    },
    remove: () => rmSync(path, { force: true }),
  };
}

/** The process of that name that `parentPid` has started, or null. */
export function findChild(parentPid: number, name: string): number | null {
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const path = `/proc/${pid}/stat`;
    if (!existsSync(path)) continue;
    let stat: string;
    try {
      stat = readFileSync(path, "utf8");
    } catch {
      continue; // it has just ended
    }
    const [, command, parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(stat) ?? [];
    if (command === name && Number(parent) === parentPid) return Number(pid);
  }
  return null;
}

export const isProgress = (what: RegExp) => (event: Event) => event.type === "progress" && what.test(event.what);
export const isStep = (what: RegExp) => (event: Event) => event.type === "step" && what.test(event.message);
export const isState = (state: string) => (event: Event) => event.type === "target-state" && event.state === state;
export const isStage = (type: "stage-started" | "stage-finished", stage: string) => (event: Event) =>
  event.type === type && event.stage === stage;
