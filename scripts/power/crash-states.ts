/**
 * Which states a disk can be in when the power goes, made from the log of a run: pure and seeded.
 *
 * The model is a disk with a volatile write cache. What was written before a flush stays. Of what was written since, any
 * part may be lost, whatever the order it was written in; the last writes may not even have been made. A write is torn
 * at sectors: each sector is on the disk as a whole or not at all. A FUA write that has completed stays.
 */
import { createRandom, type Random } from "../../test/support/random.ts";
import type { WriteLog } from "./write-log.ts";

/** A write of the log, with the number of its entry there. */
export interface Write {
  readonly entry: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly fua: boolean;
}

/** Between two flushes: the writes from `from` to before `to`, by their number in the list of writes. */
export interface Epoch {
  readonly from: number;
  readonly to: number;
}

export interface History {
  readonly sectorSizeBytes: number;
  readonly writes: readonly Write[];
  readonly epochs: readonly Epoch[];
}

/** What is on the disk after a power cut in an epoch. */
export interface CrashState {
  /** Together with the seed it names the state: `<epoch>.<kind>`. */
  readonly id: string;
  readonly epoch: number;
  /** Of the epoch's writes those that are on the disk, in their order; everything before the epoch is. */
  readonly kept: readonly number[];
  /** One more of the epoch's writes, not in `kept`, of which only these sectors are on the disk, counted inside it. */
  readonly torn: { readonly write: number; readonly sectors: readonly SectorRun[] } | null;
}

/** Sectors from `from` to before `to`. */
export interface SectorRun {
  readonly from: number;
  readonly to: number;
}

/** Splits a log at its flushes. A flush with nothing since the one before makes no epoch. */
export function historyOf({ sectorSizeBytes, entries }: WriteLog): History {
  const writes: Write[] = [];
  const epochs: Epoch[] = [];
  let from = 0;
  for (const [entry, { flush, offsetBytes, lengthBytes, fua }] of entries.entries()) {
    if (flush && writes.length > from) {
      epochs.push({ from, to: writes.length });
      from = writes.length;
    }
    if (lengthBytes > 0) writes.push({ entry, offsetBytes, lengthBytes, fua });
  }
  epochs.push({ from, to: writes.length }); // after the last flush there may be nothing: then it is the end of the run
  return { sectorSizeBytes, writes, epochs };
}

/** States of every epoch that are not left to chance, in the order of what they show. */
const FIXED = ["none", "all", "last-lost", "last-only", "first-lost"] as const;
const TORN = ["torn-prefix", "torn-suffix", "torn-some"] as const;

/** The ids of an epoch's states: the fixed ones and then `random` ones left to chance. Every id makes a state. */
export function idsOf(history: History, epoch: number, random: number): string[] {
  const { from, to } = at(history.epochs, epoch);
  const count = to - from;
  if (count === 0) return [`${epoch}.none`];
  const isTearable = history.writes.slice(from, to).some((write) => isLarge(history, write));
  const kinds = [
    ...FIXED.slice(0, count === 1 ? 2 : FIXED.length),
    ...(isTearable ? TORN : []),
    ...(count > 1 || isTearable ? Array.from({ length: random }, (_, i) => `random-${i}`) : []),
  ];
  return kinds.map((kind) => `${epoch}.${kind}`);
}

/** Makes the state of an id; the same seed and id always make the same. @throws Error for an id that names none. */
export function stateOf(history: History, id: string, seed: number): CrashState {
  const [, number = "", kind = ""] = /^(\d+)\.([a-z0-9-]+)$/.exec(id) ?? [];
  const epoch = Number(number);
  const { from, to } = at(history.epochs, epoch);
  const random = createRandom(Number(Bun.hash(`${seed}:${id}`) & 0x7fffffffn));
  const until = (end: number, isKept: (write: number) => boolean): number[] =>
    range(from, end).filter((write) => isKept(write) || at(history.writes, write).fua);
  const state = (kept: readonly number[], torn: CrashState["torn"] = null): CrashState => ({ id, epoch, kept, torn });
  switch (kind) {
    case "none":
      return state([]); // the power went before the first of them was made
    case "all":
      return state(range(from, to));
    case "last-lost":
      return state(range(from, to - 1));
    case "last-only":
      return state(until(to, (write) => write === to - 1));
    case "first-lost":
      return state(until(to, (write) => write !== from));
  }
  if (kind.startsWith("torn-")) {
    const large = range(from, to).filter((write) => isLarge(history, at(history.writes, write)));
    const write = random.pick(large);
    const sectors = tear(sectorsOf(history, at(history.writes, write)), kind, random);
    return state(range(from, write), { write, sectors });
  }
  if (!kind.startsWith("random-")) throw new Error(`no crash state is called ${id}`);
  const end = from + 1 + random.below(to - from); // the last write that was begun is before it
  const probability = random.pick([0.1, 0.5, 0.9]);
  const inFlight = end - 1;
  const kept = until(inFlight, () => random.chance(probability));
  const isLastKept = random.chance(probability);
  const large = range(from, end).filter((write) => {
    const facts = at(history.writes, write);
    return isLarge(history, facts) && (write === inFlight || !facts.fua);
  });
  if (large.length > 0 && random.chance(0.5)) {
    const write = random.pick(large);
    const sectors = tear(sectorsOf(history, at(history.writes, write)), random.pick(TORN), random);
    const others = (isLastKept ? [...kept, inFlight] : kept).filter((other) => other !== write);
    return state(others, { write, sectors });
  }
  return state(isLastKept ? [...kept, inFlight] : kept);
}

function tear(count: number, how: string, random: Random): SectorRun[] {
  const cut = 1 + random.below(count - 1);
  if (how === "torn-prefix") return [{ from: 0, to: cut }];
  if (how === "torn-suffix") return [{ from: cut, to: count }];
  const probability = random.pick([0.1, 0.5, 0.9]);
  const runs: { from: number; to: number }[] = [];
  for (let sector = 0; sector < count; sector += 1) {
    if (!random.chance(probability)) continue;
    const last = runs.at(-1);
    if (last?.to === sector) last.to = sector + 1;
    else runs.push({ from: sector, to: sector + 1 });
  }
  return runs;
}

const sectorsOf = (history: History, write: Write): number => write.lengthBytes / history.sectorSizeBytes;
const isLarge = (history: History, write: Write): boolean => sectorsOf(history, write) > 1;

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`there is no number ${index} among ${list.length}`);
  return found;
}

/**
 * Orders candidates so that any beginning of the list is spread over the whole run: first what is left after every
 * flush, then round by round the other states of every epoch, the epochs shuffled by the seed.
 * @param random how many states left to chance there are for each epoch.
 */
export function candidates(history: History, seed: number, random: number): string[] {
  const shuffled = shuffle(range(0, history.epochs.length), createRandom(seed));
  const columns = shuffled.map((epoch) => idsOf(history, epoch, random));
  const rounds = Math.max(...columns.map((column) => column.length));
  return range(0, rounds).flatMap((round) => columns.flatMap((column) => column.slice(round, round + 1)));
}

function shuffle<T>(list: readonly T[], random: Random): T[] {
  const shuffled = [...list];
  for (let i = shuffled.length - 1; i > 0; i -= 1) {
    const j = random.below(i + 1);
    [shuffled[i], shuffled[j]] = [at(shuffled, j), at(shuffled, i)];
  }
  return shuffled;
}
