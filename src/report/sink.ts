/** What listens to a run. */
import type { Event } from "./events.ts";

/** A listener: a console, a file, the control endpoint. The reporter calls it for every event, in order. */
export interface Sink {
  /** What the operator calls it, for the warning that it no longer works. */
  readonly name: string;
  /** Takes one event. It may throw: the reporter warns the other sinks once and the run goes on. */
  receive(event: Event): void;
}
