/** A shape for each condition: nobody needs to see its colour. */
import type { Filter } from "../fleet/selection.ts";

const shapes: Readonly<Record<Filter, string>> = {
  all: "M2 4h12M2 8h12M2 12h12",
  requested: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5.5V8l2 1.5", // a clock
  running: "M5 3l8 5-8 5z", // go
  writing: "M8 2v7M4.8 6.2L8 9.4l3.2-3.2M2.5 13.5h11", // down onto the disk
  waiting: "M4 2.5h8M4 13.5h8M4.8 2.5c0 3 3.2 4 3.2 5.5s-3.2 2.5-3.2 5.5M11.2 2.5c0 3-3.2 4-3.2 5.5s3.2 2.5 3.2 5.5", // an hourglass
  parked: "M5.3 2.2h5.4l3.1 3.1v5.4l-3.1 3.1H5.3l-3.1-3.1V5.3zM6.4 5.6v4.8M9.6 5.6v4.8", // a stop sign
  failed: "M3.5 3.5l9 9M12.5 3.5l-9 9", // a cross
  unproven: "M8 2.2l6.2 11.3H1.8zM8 6.3v3.4M8 11.3v.7", // a warning triangle
  approve: "M10.4 9.2a3.6 3.6 0 1 0-3-3L2.2 11.4v2.4h2.4v-1.9h1.9V10h1.7zM10.9 5.1h.1", // a key
  installed: "M2.8 8.6l3.4 3.4 7-7.6", // a tick
  idle: "M5 8h6", // a dash
  silent: "M3 6.5c2.8-2.7 7.2-2.7 10 0M5.3 9c1.5-1.4 3.9-1.4 5.4 0M8 11.7v.1M2.5 2.5l11 11", // no signal
};

export function ConditionIcon({ kind }: { readonly kind: Filter }) {
  return (
    <svg class={`icon ${kind}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={shapes[kind]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 16 16" width="22" height="22" aria-hidden="true">
      <rect width="16" height="16" rx="4" />
      <path d="M4.5 8a3.5 3.5 0 1 0 1.2-2.6M5.4 3v2.7h2.7" />
    </svg>
  );
}
