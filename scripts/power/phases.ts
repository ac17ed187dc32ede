/** How far a run had come, by what it had written. Pure. */
import type { History } from "./crash-states.ts";
import type { Written } from "./state-images.ts";

/** In the order in which a run goes through them. */
export const phases = [
  "arming",
  "switching",
  "armed",
  "saved",
  "writing",
  "written",
  "restored",
  "commit",
  "new system",
] as const;
export type Phase = (typeof phases)[number];

const recordMagic = "reimage lifeboat record";

/**
 * The phase of every epoch. The record of the lifeboat says which it is between the two writes of the one sector that
 * decides what boots.
 * @param switchOffsetBytes that sector.
 */
export function phasesOf(history: History, written: Written, switchOffsetBytes: number): Phase[] {
  const touches = history.epochs.map(({ from, to }) =>
    history.writes.slice(from, to).some(({ offsetBytes }) => offsetBytes === switchOffsetBytes),
  );
  const [first, last] = [touches.indexOf(true), touches.lastIndexOf(true)];
  let state: Phase = "armed";
  return history.epochs.map(({ from, to }, epoch) => {
    const before = state;
    for (let write = from; write < to; write += 1) state = stateIn(written(write)) ?? state;
    if (first === -1 || epoch < first) return "arming";
    if (epoch === first) return "switching";
    if (epoch === last) return "commit";
    return epoch > last ? "new system" : before;
  });
}

/** The state that a copy of the record says, where a write is one. */
function stateIn(data: Buffer): Phase | null {
  if (data.toString("latin1", 0, recordMagic.length) !== recordMagic) return null;
  const word = /"state":"([a-z]+)"/.exec(data.toString("latin1", 0, 4096))?.[1];
  return phases.find((phase) => phase === word) ?? null;
}
