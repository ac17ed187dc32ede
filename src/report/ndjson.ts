/** events.ndjson: every event of a run, one JSON object a line, over all processes of the run. */
import { appendFileSync, readFileSync } from "node:fs";
import type { Event } from "./events.ts";
import type { Sink } from "./sink.ts";

/** The events in the text of events.ndjson (pure). A line cut by a killed process or a full file system is left out. */
export function parseEvents(text: string): Event[] {
  const events: Event[] = [];
  for (const line of text.split("\n")) {
    const event = parseLine(line);
    if (event !== null) events.push(event);
  }
  return events;
}

function parseLine(line: string): Event | null {
  if (line === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null; // only a cut line is no JSON, and the process that was killed while writing it told nobody else
  }
  const isEvent = typeof value === "object" && value !== null && "seq" in value && Number.isSafeInteger(value.seq);
  return isEvent ? (value as Event) : null;
}

/** Reads the events of the run so far; none where the file does not exist. */
export function readEvents(path: string): Event[] {
  return parseEvents(readText(path));
}

/** The number of the last event of the run so far, for `createReporter`; 0 for a new run. */
export function readLastSeq(path: string): number {
  return readEvents(path).reduce((last, event) => Math.max(last, event.seq), 0);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Appends every event to `path`. A line that an earlier process left unfinished is ended first. */
export function createNdjsonSink(path: string): Sink {
  let atLineStart = false; // unknown until the file has been looked at, and again after a failed write
  return {
    name: path,
    receive(event) {
      if (!atLineStart) {
        const text = readText(path);
        if (text !== "" && !text.endsWith("\n")) appendFileSync(path, "\n");
      }
      atLineStart = false;
      appendFileSync(path, `${JSON.stringify(event)}\n`, { mode: 0o600 });
      atLineStart = true;
    },
  };
}
