/** The events of a run: those that are there, and new ones as they come. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { WireEvent } from "../../protocol/run.ts";
import { type LogLine, linesOf, mergeEvents } from "../../view/log-lines.ts";
import type { ApiFailure } from "../api.ts";
import { watch } from "../stream.ts";
import { type Sample, withSamples } from "./speed.ts";

/** Of a run that tells more than this, the oldest is not kept. */
const MOST = 20_000;

interface Held {
  readonly runId: string | null;
  readonly events: readonly WireEvent[];
  readonly samples: readonly Sample[];
  readonly isLoading: boolean;
  readonly failure: ApiFailure | null;
}

export interface RunEvents {
  readonly lines: readonly LogLine[];
  readonly samples: readonly Sample[];
  readonly isLoading: boolean;
  readonly failure: ApiFailure | null;
}

const nothing = (runId: string | null): Held => ({
  runId,
  events: [],
  samples: [],
  isLoading: runId !== null,
  failure: null,
});

export function useRunEvents(runId: string | null): RunEvents {
  const [kept, setHeld] = useState<Held>(() => nothing(runId));
  const held = kept.runId === runId ? kept : nothing(runId);

  useEffect(() => {
    if (runId === null) return;
    const change = (to: (held: Held) => Partial<Held>) =>
      setHeld((before) => {
        const held = before.runId === runId ? before : nothing(runId);
        return { ...held, ...to(held) };
      });
    // At each connection the endpoint begins with the run's first event: what was missed is among them.
    return watch({
      path: `/stream?run=${runId}`,
      onConnection: (connection) => {
        if (connection.state === "live") change(() => ({ isLoading: false, failure: null }));
        if (connection.state === "lost") change(() => ({ isLoading: false, failure: connection.failure }));
      },
      onMessage: ({ event, data }) => {
        if (event !== "run-events") return;
        const message = JSON.parse(data) as { readonly runId: string; readonly events: WireEvent[] };
        if (message.runId !== runId) return;
        change(({ events, samples }) => ({
          events: mergeEvents(events, message.events).slice(-MOST),
          samples: withSamples(samples, message.events),
        }));
      },
    });
  }, [runId]);

  const lines = useMemo(() => linesOf(held.events), [held.events]);
  return { lines, samples: held.samples, isLoading: held.isLoading, failure: held.failure };
}
