/** How fast something goes, how long it still takes, and when that is worth a line (pure). */
import type { Event } from "./events.ts";
import { formatBytes, formatDuration, percentOf } from "./format.ts";

/** A progress event as it is shown. */
export interface ProgressView {
  readonly stage: string;
  readonly what: string;
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  readonly percent: number | null;
  readonly timeMs: number;
  /** Null until there is something to measure. */
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
}

/** The latest measurements of one piece of work, oldest first. */
export interface Measurements {
  readonly work: string;
  readonly samples: readonly { readonly timeMs: number; readonly doneBytes: number }[];
}

/** The rate is that of the last seconds, so that it follows a disk that slows down. */
const WINDOW_MS = 15_000;
const SHORTEST_MS = 1_000;
const LINE_INTERVAL_MS = 5_000;
const LINE_PERCENT = 10;

type ProgressEvent = Extract<Event, { type: "progress" }>;

/** Adds a progress event to the measurements; other work, a step back or a clock that was set back begins anew. */
export function measure(before: Measurements | null, event: ProgressEvent): Measurements {
  const work = `${event.stage} ${event.what}`;
  const sample = { timeMs: Date.parse(event.time), doneBytes: event.doneBytes };
  const last = before?.samples.at(-1);
  const continues =
    before?.work === work && last !== undefined && sample.doneBytes >= last.doneBytes && sample.timeMs >= last.timeMs;
  if (!continues) return { work, samples: [sample] };
  // One sample older than the window stays, so that slow work with few events is measured too.
  const recent = before.samples.filter(
    (_, i) => sample.timeMs - (before.samples[i + 1]?.timeMs ?? sample.timeMs) < WINDOW_MS,
  );
  return { work, samples: [...recent, sample] };
}

/** What there is to show after `event`, whose measurements are `measurements`. */
export function viewProgress(measurements: Measurements, event: ProgressEvent): ProgressView {
  const { stage, what, doneBytes, totalBytes } = event;
  const first = measurements.samples[0];
  const timeMs = Date.parse(event.time);
  const elapsedMs = first === undefined ? 0 : timeMs - first.timeMs;
  const measurable = first !== undefined && elapsedMs >= SHORTEST_MS;
  const bytesPerSecond = measurable ? ((doneBytes - first.doneBytes) * 1000) / elapsedMs : null;
  const secondsLeft =
    bytesPerSecond !== null && bytesPerSecond > 0 && totalBytes !== null
      ? Math.max(0, totalBytes - doneBytes) / bytesPerSecond
      : null;
  const percent = percentOf(doneBytes, totalBytes);
  return { stage, what, doneBytes, totalBytes, percent, timeMs, bytesPerSecond, secondsLeft };
}

/** `42%, 1.7 GiB of 4.0 GiB, 55.1 MiB/s, 0:43 left`, as far as it is known. */
export function formatProgress(view: ProgressView): string {
  const parts: string[] = [];
  if (view.percent !== null) parts.push(`${view.percent}%`);
  const total = view.totalBytes === null ? "" : ` of ${formatBytes(view.totalBytes)}`;
  parts.push(`${formatBytes(view.doneBytes)}${total}`);
  if (view.bytesPerSecond !== null) parts.push(`${formatBytes(view.bytesPerSecond)}/s`);
  if (view.secondsLeft !== null && view.doneBytes !== view.totalBytes) {
    parts.push(`${formatDuration(view.secondsLeft)} left`);
  }
  return parts.join(", ");
}

/** Whether a console without a cursor gets a line now: other work, 5 s, a jump of 10 percent, or the end. */
export function deservesLine(printed: ProgressView | null, view: ProgressView): boolean {
  if (printed === null || printed.stage !== view.stage || printed.what !== view.what) return true;
  if (view.doneBytes < printed.doneBytes || view.timeMs < printed.timeMs) return true;
  if (view.timeMs - printed.timeMs >= LINE_INTERVAL_MS) return true;
  if (view.doneBytes === view.totalBytes) return printed.doneBytes !== view.doneBytes;
  return (view.percent ?? 0) - (printed.percent ?? 0) >= LINE_PERCENT;
}
