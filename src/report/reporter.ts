/** Numbers the events of a run and hands them to every sink; nothing that a sink does can stop the run. */
import { describeError } from "../errors.ts";
import type { Event, EventBody, Reporter } from "./events.ts";
import type { Sink } from "./sink.ts";

/**
 * @param lastSeq the number of the last event that an earlier process of this run left in events.ndjson
 * (`readLastSeq`); 0 for a new run. The first event gets the next number.
 * @param now the clock, in milliseconds since the epoch.
 */
export function createReporter(sinks: readonly Sink[], lastSeq: number, now: () => number = Date.now): Reporter {
  const broken = new Set<Sink>();
  let seq = lastSeq;

  function deliver(body: EventBody, to: readonly Sink[]): void {
    seq += 1;
    const event: Event = { ...body, seq, time: new Date(now()).toISOString() };
    const failures: { readonly sink: Sink; readonly error: unknown }[] = [];
    for (const sink of to) {
      try {
        sink.receive(event);
      } catch (error) {
        // It is tried again for the next event (a full file system may be emptied), but complained about once only.
        if (!broken.has(sink)) failures.push({ sink, error });
        broken.add(sink);
      }
    }
    // Only now, so that every sink gets the events in the order of their numbers.
    for (const { sink, error } of failures) {
      const message = `${sink.name} does not take messages any more: ${describeError(error)}`;
      const others = to.filter((other) => other !== sink);
      deliver({ type: "warning", stage: null, message }, others);
    }
  }

  return { emit: (body) => deliver(body, sinks) };
}
