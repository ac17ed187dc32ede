/** A progress bar on a terminal that has a cursor: a real terminal, or a Linux virtual console such as /dev/tty0. */
import { Format, type Options, SingleBar } from "cli-progress";
import { formatProgress, type ProgressView } from "./rate.ts";

/** A bar on the last line of a terminal. */
export interface TerminalBar {
  show(view: ProgressView): void;
  /** Takes the bar away, so that a line can be printed. */
  hide(): void;
}

/** Redraws the bar by a timer that never keeps the process from ending. */
class QuietBar extends SingleBar {
  declare timer: { unref(): void } | null;
  override render(): void {
    super.render();
    this.timer?.unref();
  }
}

/**
 * The terminal as cli-progress drives it. Its own one saves and restores the cursor's place on the screen, which is wrong as
 * soon as the kernel prints a message in between; here everything happens on the current line.
 */
function createTerminal(write: (text: string) => void, columns: number) {
  const nothing = () => {};
  return {
    isTTY: () => true,
    getWidth: () => columns,
    cursorSave: nothing,
    cursorRestore: nothing,
    cursor: nothing,
    lineWrapping: nothing,
    newline: () => write("\n"),
    cursorTo: () => write("\r"),
    // One column stays free: a full last line scrolls on some consoles.
    write: (text: string) => write(text.slice(0, columns - 1)),
    clearRight: () => write("\x1b[K"),
    clearLine: () => write("\x1b[2K"),
  };
}

/** Creates a bar; `write` gets the text with its control sequences. */
export function createTerminalBar(write: (text: string) => void, columns: number): TerminalBar {
  let failure: { readonly error: unknown } | null = null;
  // The timer writes too, where nobody could catch an error: it is kept for the next call.
  const terminal = createTerminal((text) => {
    try {
      write(text);
    } catch (error) {
      failure = { error };
    }
  }, columns);
  function throwFailure(): void {
    const failed = failure;
    failure = null;
    if (failed !== null) throw failed.error;
  }
  const options: Options & { terminal: object } = {
    terminal,
    barsize: Math.max(8, Math.min(32, columns - 64)),
    barCompleteChar: "#",
    barIncompleteChar: ".",
    clearOnComplete: true,
    forceRedraw: true, // repairs what kernel messages have written over
    fps: 2,
    format: (bar, params, payload: { stage: string; text: string; hasTotal: boolean }) =>
      payload.hasTotal
        ? `${payload.stage} [${Format.BarFormat(params.progress, bar)}] ${payload.text}`
        : `${payload.stage} ${payload.text}`,
  };
  const bar = new QuietBar(options);
  return {
    show(view) {
      const payload = { stage: view.stage, text: formatProgress(view), hasTotal: view.totalBytes !== null };
      if (!bar.isActive) bar.start(view.totalBytes ?? 0, view.doneBytes, payload);
      bar.setTotal(view.totalBytes ?? 0);
      bar.update(view.doneBytes, payload);
      throwFailure();
    },
    hide() {
      if (bar.isActive) bar.stop();
      throwFailure();
    },
  };
}
