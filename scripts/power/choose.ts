/** Chooses the states of a run that are booted: distinct ones, spread over the run. */
import { closeSync, openSync, readSync } from "node:fs";
import { type CrashState, candidates, historyOf, stateOf } from "./crash-states.ts";
import { fingerprints } from "./fingerprints.ts";
import { type Phase, phasesOf } from "./phases.ts";
import { beforePath, logPath, type Recording } from "./recording.ts";
import type { Written } from "./state-images.ts";
import { type OpenWriteLog, openWriteLog } from "./write-log.ts";

export interface OpenHistory extends Disposable {
  readonly log: OpenWriteLog;
  readonly history: ReturnType<typeof historyOf>;
  readonly written: Written;
  /** By epoch. */
  readonly phases: readonly Phase[];
}

export function openHistory(recording: Recording): OpenHistory {
  const log = openWriteLog(logPath(recording));
  const history = historyOf(log);
  const written: Written = (write) => {
    const entry = log.entries[history.writes[write]?.entry ?? -1];
    if (entry === undefined) throw new Error(`the log has no write ${write}`);
    return log.data(entry);
  };
  const { firmware, sectorSizeBytes } = recording.scenario;
  const phases = phasesOf(history, written, firmware === "bios" ? 0 : sectorSizeBytes);
  return { log, history, written, phases, [Symbol.dispose]: () => log[Symbol.dispose]() };
}

/** How many states of each epoch are left to chance, at most; more than a sweep of thousands of states asks for. */
const RANDOM_STATES = 60;

export interface Choice {
  /** In the order of the run. */
  readonly states: readonly CrashState[];
  /** How many states held the same bytes as one before them. */
  readonly same: number;
}

/** Chooses `count` states that differ from each other, all of one phase where it is given; fewer where there are no more. */
export function chooseStates(
  recording: Recording,
  { history, written, phases }: OpenHistory,
  { seed, states: count, phase }: { readonly seed: number; readonly states: number; readonly phase: Phase | null },
): Choice {
  const ids = candidates(history, seed, RANDOM_STATES)
    .filter((id) => phase === null || phases[Number.parseInt(id, 10)] === phase)
    .slice(0, count * 3); // many a state is left out because it is the same as another
  const states = ids.map((id) => stateOf(history, id, seed));
  const fd = openSync(beforePath(recording), "r");
  const before = (offsetBytes: number, lengthBytes: number): Buffer => {
    const content = Buffer.alloc(lengthBytes);
    readSync(fd, content, 0, lengthBytes, offsetBytes);
    return content;
  };
  try {
    const prints = fingerprints(history, { before, written }, states);
    const seen = new Set<bigint>();
    const chosen: CrashState[] = [];
    let same = 0;
    for (const state of states) {
      if (chosen.length === count) break;
      const print = prints.get(state.id) ?? 0n;
      if (seen.has(print)) same += 1;
      else chosen.push(state);
      seen.add(print);
    }
    return { states: chosen.toSorted((a, b) => a.epoch - b.epoch), same };
  } finally {
    closeSync(fd);
  }
}
