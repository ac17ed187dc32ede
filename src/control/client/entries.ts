/** What waits to be sent, and what of it goes into one request (pure). */
import type { AbortMessage, EventBatch, ReportMessage, WireEvent } from "../protocol/run.ts";
import { abortMessageSchema, MOST_EVENTS, reportMessageSchema, wireEventSchema } from "../protocol/run.ts";

/** Something that waits. A queue file holds one of them a line. */
export type Entry =
  | { readonly kind: "event"; readonly runId: string; readonly event: WireEvent }
  | { readonly kind: "report"; readonly message: ReportMessage }
  | { readonly kind: "abort"; readonly message: AbortMessage };

/** An entry as it stands in memory: its line is what is kept and counted. */
export interface Waiting {
  readonly entry: Entry;
  readonly line: string;
}

/** One request, and what it settles. */
export type Batch = { readonly settles: readonly Waiting[] } & (
  | { readonly kind: "events"; readonly message: EventBatch }
  | { readonly kind: "report"; readonly message: ReportMessage }
  | { readonly kind: "abort"; readonly message: AbortMessage }
);

export const mostBatchBytes = 256 << 10;
/** Of the text of one event; what is longer is cut, and says so. */
const mostTextBytes = 16 << 10;

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** An entry from a line of a queue file; null for what is none. Files may come from a disk that was written long ago. */
export function parseEntry(value: unknown): Entry | null {
  if (typeof value !== "object" || value === null || !("kind" in value)) return null;
  if (value.kind === "event" && "event" in value && "runId" in value) {
    const event = wireEventSchema.safeParse(value.event);
    const { runId } = value;
    return event.success && typeof runId === "string" && uuid.test(runId)
      ? { kind: "event", runId, event: event.data }
      : null;
  }
  if (!("message" in value)) return null;
  if (value.kind === "report") {
    const message = reportMessageSchema.safeParse(value.message);
    return message.success ? { kind: "report", message: message.data } : null;
  }
  if (value.kind === "abort") {
    const message = abortMessageSchema.safeParse(value.message);
    return message.success ? { kind: "abort", message: message.data } : null;
  }
  return null;
}

/** The entry as it waits. An event with a text that would fill a request by itself is cut. */
export function waitingFor(entry: Entry): Waiting {
  const line = JSON.stringify(entry);
  if (entry.kind !== "event" || line.length <= mostTextBytes) return { entry, line };
  const cut = Object.entries(entry.event).map(([key, value]) =>
    typeof value === "string" && value.length > mostTextBytes / 4
      ? [key, `${value.slice(0, mostTextBytes / 4)}… (cut; ${value.length} characters)`]
      : [key, value],
  );
  const shorter: Entry = { ...entry, event: Object.fromEntries(cut) as WireEvent };
  return { entry: shorter, line: JSON.stringify(shorter) };
}

/**
 * The next request: as many events of one run as fit, of progress only the newest of each stage; or a report, or an abort.
 * Null where nothing waits.
 */
export function nextBatch(waiting: readonly Waiting[]): Batch | null {
  const first = waiting[0]?.entry;
  if (first === undefined) return null;
  const only = waiting.slice(0, 1);
  if (first.kind === "report") return { kind: "report", message: first.message, settles: only };
  if (first.kind === "abort") return { kind: "abort", message: first.message, settles: only };
  const { runId } = first;
  const newest = new Map<string, WireEvent>();
  const events: WireEvent[] = [];
  let sizeBytes = 0;
  let count = 0;
  for (const { entry, line } of waiting) {
    if (entry.kind !== "event" || entry.runId !== runId) break;
    const isProgress = entry.event.type === "progress";
    const stage = String(entry.event.stage);
    const superseded = isProgress ? newest.get(stage) : undefined;
    if (superseded === undefined) {
      if (events.length === MOST_EVENTS || (count > 0 && sizeBytes + line.length * 3 > mostBatchBytes)) break;
      sizeBytes += Buffer.byteLength(line);
    } else events.splice(events.indexOf(superseded), 1);
    if (isProgress) newest.set(stage, entry.event);
    events.push(entry.event);
    count += 1;
  }
  return { kind: "events", message: { runId, events }, settles: waiting.slice(0, count) };
}

/** What may go first where there is no room, the least telling first. The rest is never given up. */
const givenUp: readonly string[] = ["progress", "detail", "step", "warning"];

/**
 * The entries that fit into `mostBytes`. Of what does not, the oldest goes first, and of that progress before anything else; in its
 * place stands an event that says how many went.
 */
export function fitting(waiting: readonly Waiting[], mostBytes: number): readonly Waiting[] {
  let sizeBytes = waiting.reduce((sum, { line }) => sum + line.length + 1, 0);
  if (sizeBytes <= mostBytes) return waiting;
  const gone = new Set<Waiting>();
  for (const type of givenUp) {
    for (const each of waiting) {
      if (sizeBytes <= mostBytes) break;
      if (each.entry.kind !== "event" || each.entry.event.type !== type) continue;
      gone.add(each);
      sizeBytes -= each.line.length + 1;
    }
  }
  const kept: Waiting[] = [];
  let stretch: { readonly runId: string; last: WireEvent; count: number } | null = null;
  const endStretch = () => {
    if (stretch === null) return;
    const { runId, last, count } = stretch;
    // The number of the last one is free, and the order stays.
    const note: WireEvent = { seq: last.seq, time: last.time, type: "events-dropped", stage: null, count };
    kept.push(waitingFor({ kind: "event", runId, event: note }));
    stretch = null;
  };
  for (const each of waiting) {
    const { entry } = each;
    if (entry.kind !== "event" || !gone.has(each)) {
      endStretch();
      kept.push(each);
    } else if (stretch !== null && stretch.runId === entry.runId) {
      stretch.last = entry.event;
      stretch.count += 1;
    } else {
      endStretch();
      stretch = { runId: entry.runId, last: entry.event, count: 1 };
    }
  }
  endStretch();
  return kept;
}
