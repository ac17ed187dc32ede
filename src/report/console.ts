/** The run on the consoles: a bar where there is a cursor, a line now and then where there is none. */
import type { Event } from "./events.ts";
import { wrapText } from "./format.ts";
import { describeEvent } from "./lines.ts";
import { deservesLine, formatProgress, type Measurements, measure, type ProgressView, viewProgress } from "./rate.ts";
import type { Sink } from "./sink.ts";
import { createTerminalBar } from "./terminal-bar.ts";

/** One console. `write` takes text at once; what it throws becomes a warning in the log. */
export interface ConsoleTarget {
  write(text: string): void;
  /** `terminal` has a cursor and a person before it; `line` is a serial console, a pipe, a file. */
  readonly kind: "terminal" | "line";
  /** Width of a terminal; 80 if nobody knows. */
  readonly columns?: number;
}

/** What is drawn on one console. */
interface View {
  showProgress(view: ProgressView): void;
  showLine(text: string, isEnding: boolean): void;
}

/** Shows the run on every one of `targets`; one that is broken does not keep the others from it. */
export function createConsoleSink(targets: readonly ConsoleTarget[]): Sink {
  const views = targets.map((target) =>
    target.kind === "terminal" ? createTerminalView(target) : createLineView(target),
  );
  let measurements: Measurements | null = null;

  function show(view: View, event: Event): void {
    if (event.type === "progress" && measurements !== null) view.showProgress(viewProgress(measurements, event));
    const text = event.type === "detail" ? null : describeEvent(event);
    if (text !== null) view.showLine(text, event.type === "run-finished" || event.type === "run-failed");
  }

  return {
    name: "the console",
    receive(event) {
      if (event.type === "progress") measurements = measure(measurements, event);
      const errors: unknown[] = [];
      for (const view of views) {
        try {
          show(view, event);
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw errors[0];
    },
  };
}

function createLineView(target: ConsoleTarget): View {
  let printed: ProgressView | null = null;
  return {
    showProgress(view) {
      if (!deservesLine(printed, view)) return;
      printed = view;
      target.write(`[${view.stage}] ${view.what}: ${formatProgress(view)}\n`);
    },
    showLine: (text) => target.write(`${text}\n`),
  };
}

function createTerminalView(target: ConsoleTarget): View {
  const columns = target.columns ?? 80;
  const bar = createTerminalBar((text) => target.write(text), columns);
  let work: string | null = null;
  return {
    showProgress(view) {
      const line = `[${view.stage}] ${view.what}\n`; // what the bar below it means; the bar itself has no room for it
      if (line !== work) {
        bar.hide();
        target.write(line);
        work = line;
      }
      bar.show(view);
    },
    showLine(text, isEnding) {
      bar.hide();
      // The ending is a paragraph to be read from a distance; a line stays one line for whoever searches the output.
      target.write(isEnding ? `\n${wrapText(text, columns - 1).join("\n")}\n\n` : `${text}\n`);
    },
  };
}
