/** How fast a step goes, from what its machine said lately (pure). */
import type { WireEvent } from "../../protocol/run.ts";

/** One `progress`; `atMs` by the machine's clock, which may be wrong but goes on. */
export interface Sample {
  readonly step: string;
  readonly atMs: number;
  readonly doneBytes: number;
}

const WINDOW_MS = 20_000;
const MOST = 100;

export function sampleOf(event: WireEvent): Sample | null {
  const atMs = Date.parse(event.time);
  if (event.type !== "progress" || typeof event.doneBytes !== "number" || !Number.isFinite(atMs)) return null;
  return { step: `${String(event.stage)} ${String(event.what)}`, atMs, doneBytes: event.doneBytes };
}

/** The samples of the step in hand, of the last seconds. */
export function withSamples(before: readonly Sample[], events: readonly WireEvent[]): readonly Sample[] {
  const all = [...before, ...events.flatMap((event) => sampleOf(event) ?? [])];
  const last = all.at(-1);
  if (last === undefined) return before;
  const isOfNow = ({ step, atMs, doneBytes }: Sample) =>
    step === last.step && atMs >= last.atMs - WINDOW_MS && atMs <= last.atMs && doneBytes <= last.doneBytes;
  return all.filter(isOfNow).slice(-MOST);
}

/** Bytes a second; null where too little is known. */
export function speedOf(samples: readonly Sample[]): number | null {
  const [first] = samples;
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.atMs - first.atMs < 1000) return null;
  const speed = ((last.doneBytes - first.doneBytes) * 1000) / (last.atMs - first.atMs);
  return speed > 0 ? speed : null;
}
