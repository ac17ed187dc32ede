/** How server-sent events are written, and how long to wait for them (pure). */

export interface Message {
  readonly event: string;
  readonly data: string;
}

const LONGEST_PAUSE_MS = 15_000;

/** How long to wait before attempt `attempt` (from 1); spread, so that not all pages come back at once (pure). */
export function pauseMs(attempt: number, random: number): number {
  return Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(attempt, 10)) * (0.75 + random / 4);
}

/** One block of an event stream (WHATWG HTML, 9.2.6); null for comments alone (pure). */
export function parseMessage(block: string): Message | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return data.length === 0 && event === "message" ? null : { event, data: data.join("\n") };
}
