/**
 * What the endpoint has not acknowledged yet, in a file that outlives this process: entries are appended, and so is how many
 * of them are settled. Nothing here waits for anything.
 */
import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { type Entry, fitting, parseEntry, type Waiting, waitingFor } from "./entries.ts";

/** The most that waits in memory and in the file. What is beyond goes, as `fitting` says. */
export const mostQueueBytes = 8 << 20;
/** What is settled is taken out of the file once there is so much of it. */
const mostSettledBytes = 1 << 20;

export interface Queue {
  readonly path: string;
  waiting(): readonly Waiting[];
  /** The highest number of an event that was ever put in; 0: none. */
  lastSeq(): number;
  /** Puts something in. @throws the error of node:fs where it cannot be kept over the end of this process; it is sent all the same. */
  add(entry: Entry): void;
  /** These need not be sent again. @throws as `add` */
  settle(settled: readonly Waiting[]): void;
}

interface Content {
  readonly waiting: Waiting[];
  /** The highest number of an event that was ever in it. */
  readonly lastSeq: number;
  /** The machine that it tells of; null: this one. */
  readonly machineId: string | null;
}

/** What a queue file holds (pure). A line cut by a killed process, or damaged, is left out. */
export function parseQueue(text: string): Content {
  const waiting: Waiting[] = [];
  let machineId: string | null = null;
  let lastSeq = 0;
  let settled = 0;
  for (const line of text.split("\n")) {
    const value = parseLine(line);
    const entry = parseEntry(value);
    if (entry !== null) waiting.push(waitingFor(entry));
    if (entry?.kind === "event") lastSeq = Math.max(lastSeq, entry.event.seq);
    if (value?.kind === "settled" && Number.isSafeInteger(value.count)) settled += Number(value.count);
    if (value?.kind === "head" && Number.isSafeInteger(value.lastSeq)) lastSeq = Number(value.lastSeq);
    if (value?.kind === "head" && typeof value.machineId === "string") machineId = value.machineId;
  }
  return { waiting: waiting.slice(settled), lastSeq, machineId };
}

/** The text of a file that holds what waits. */
export function formatQueue(waiting: readonly Waiting[], lastSeq: number, machineId: string | null = null): string {
  const head = JSON.stringify({ kind: "head", lastSeq, machineId });
  return `${[head, ...waiting.map(({ line }) => line)].join("\n")}\n`;
}

/** What another run has left for somebody to send; nothing where that was another machine, whose disk this was (pure). */
export function handedOverEntries(text: string, machineId: string): Entry[] {
  const left = parseQueue(text);
  return left.machineId === machineId ? left.waiting.map(({ entry }) => entry) : [];
}

/** Opens the queue in `path`, with what an earlier process left in it. */
export function openQueue(path: string, mostBytes = mostQueueBytes): Queue {
  const text = readText(path);
  const left = parseQueue(text);
  let { waiting, lastSeq } = left;
  let waitingBytes = sizeOf(waiting);
  let isWhole = text === "" || text.endsWith("\n");
  let settledBytes = Math.max(0, text.length - waitingBytes);

  function rewrite(): void {
    isWhole = false;
    writeFileSync(`${path}.new`, formatQueue(waiting, lastSeq), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    isWhole = true;
    settledBytes = 0;
  }
  /** A line that was cut, because there was no room, must not be the beginning of the next one. */
  function append(line: string): void {
    if (!isWhole) {
      rewrite();
      return;
    }
    isWhole = false;
    appendFileSync(path, `${line}\n`, { mode: 0o600 });
    isWhole = true;
  }
  return {
    path,
    waiting: () => waiting,
    lastSeq: () => lastSeq,
    add(entry) {
      const added = waitingFor(entry);
      waiting.push(added);
      waitingBytes += sizeOf([added]);
      if (entry.kind === "event") lastSeq = Math.max(lastSeq, entry.event.seq);
      if (waitingBytes > mostBytes) {
        waiting = [...fitting(waiting, (mostBytes * 3) / 4)]; // so that it is not done again for the next event
        waitingBytes = sizeOf(waiting);
        rewrite();
      } else append(added.line);
    },
    settle(settled) {
      const gone = new Set(settled);
      const before = waiting;
      waiting = before.filter((each) => !gone.has(each));
      const count = before.length - waiting.length;
      const bytes = waitingBytes - sizeOf(waiting);
      waitingBytes -= bytes;
      settledBytes += bytes;
      // What was sent stands at the beginning, unless something was given up for want of room meanwhile.
      const isBeginning = before.slice(0, count).every((each) => gone.has(each));
      if (settledBytes > mostSettledBytes || !isBeginning) rewrite();
      else append(JSON.stringify({ kind: "settled", count }));
    },
  };
}

function sizeOf(waiting: readonly Waiting[]): number {
  return waiting.reduce((sum, { line }) => sum + line.length + 1, 0);
}

function parseLine(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = line === "" ? null : JSON.parse(line);
    return typeof value === "object" ? (value as Record<string, unknown> | null) : null;
  } catch {
    return null;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
