/** reimage.log: the run in words, with times. */
import { appendFileSync } from "node:fs";
import { describeEvent } from "./lines.ts";
import { deservesLine, formatProgress, type Measurements, measure, type ProgressView, viewProgress } from "./rate.ts";
import type { Sink } from "./sink.ts";

/** Appends every event to the log at `path`; of progress only what a console without a cursor shows. */
export function createLogSink(path: string): Sink {
  let measurements: Measurements | null = null;
  let printed: ProgressView | null = null;
  return {
    name: path,
    receive(event) {
      let text = describeEvent(event);
      if (event.type === "progress") {
        measurements = measure(measurements, event);
        const view = viewProgress(measurements, event);
        if (!deservesLine(printed, view)) return;
        printed = view;
        text = `[${event.stage}] ${event.what}: ${formatProgress(view)}`;
      }
      if (text === null) return;
      // Further lines of a message are indented, so that every line that begins with a time is an event.
      appendFileSync(path, `${event.time} ${text.replaceAll("\n", "\n    ")}\n`, { mode: 0o600 });
    },
  };
}
