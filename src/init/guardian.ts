/** Feeds the watchdog by what the run reports: a sink of events on one side, a timer on the other. */
import type { Event, TargetState } from "../report/events.ts";
import type { Sink } from "../report/sink.ts";
import type { Watchdog } from "./watchdog.ts";
import { createWatchdogPolicy, type WatchdogPolicy } from "./watchdog-policy.ts";

/** What the guardian has to know of the run. */
export interface GuardOptions {
  readonly stallSeconds: number;
  /** What an earlier process of the run has made of the target. */
  readonly target: TargetState;
  /** Whether a reset leads back to the run, whatever has become of the target. */
  readonly isRepeatable: boolean;
  /** Told, once for each stall, that nothing has moved while the target is partly written. */
  readonly onStall: () => void;
}

/** The watchdog of a run. `sink` has to see every event; disposing ends the timer, not the watchdog. */
export interface Guardian extends Disposable {
  readonly sink: Sink;
  /** From now on `watchdog` is fed. */
  guard(watchdog: Watchdog, options: GuardOptions): void;
}

export function createGuardian(): Guardian {
  const nowSeconds = () => performance.now() / 1000;
  const isProgress = createProgressFilter();
  let policy: WatchdogPolicy | null = null;
  let timer: ReturnType<typeof setInterval> | null = null;
  return {
    sink: {
      name: "the watchdog",
      receive(event) {
        if (isProgress(event)) policy?.noteProgress(nowSeconds());
        if (event.type === "target-state") policy?.noteTargetState(event.state);
      },
    },
    guard(watchdog, { stallSeconds, target, isRepeatable, onStall }) {
      const rules = createWatchdogPolicy(stallSeconds, nowSeconds(), target, isRepeatable);
      policy = rules;
      watchdog.feed();
      const intervalMilliseconds = Math.max((watchdog.timeoutSeconds * 1000) / 4, 250);
      timer = setInterval(() => {
        const feeding = rules.decide(nowSeconds());
        if (feeding !== "starve") watchdog.feed();
        if (feeding === "warn") onStall();
      }, intervalMilliseconds);
      timer.unref();
    },
    [Symbol.dispose]() {
      if (timer !== null) clearInterval(timer);
    },
  };
}

/** Whether an event shows that the run moves: the same number of bytes again does not, nor does a warning or a detail. */
export function createProgressFilter(): (event: Event) => boolean {
  let lastMark = "";
  return (event) => {
    if (event.type === "warning" || event.type === "detail") return false;
    const mark = event.type === "progress" ? `${event.stage} ${event.what} ${event.doneBytes}` : `event ${event.seq}`;
    const moved = mark !== lastMark;
    lastMark = mark;
    return moved;
  };
}
