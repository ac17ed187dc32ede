/**
 * Tells which crash states hold the same bytes, without making them. The fingerprint of a disk is the sum of one number
 * for each sector, made of where it is and what it holds; only sectors that the run writes count.
 */
import type { CrashState, History, SectorRun } from "./crash-states.ts";

/** Reads the disk as it was before the run, and the data of the run's writes. */
export interface DiskData {
  before(offsetBytes: number, lengthBytes: number): Buffer;
  written(write: number): Buffer;
}

const mask = (1n << 64n) - 1n;

/**
 * The fingerprint of every state, by its id. Equal ones hold the same bytes; that different bytes are taken for equal is
 * as good as impossible (64 bits).
 */
export function fingerprints(history: History, data: DiskData, states: readonly CrashState[]): Map<string, bigint> {
  const { sectorSizeBytes } = history;
  const now = new Map<number, bigint>(); // by sector: its number, at the beginning of the epoch
  const current = (sector: number): bigint => {
    const known = now.get(sector);
    if (known !== undefined) return known;
    const found = numberOf(sector, data.before(sector * sectorSizeBytes, sectorSizeBytes));
    now.set(sector, found);
    return found;
  };
  /** Puts sectors of a write over what `changed` holds. */
  const apply = (changed: Map<number, bigint>, numbers: readonly bigint[], first: number, run: SectorRun): void => {
    for (let i = run.from; i < run.to; i += 1) changed.set(first + i, numbers[i] ?? 0n);
  };
  const byEpoch = Map.groupBy(states, (state) => state.epoch);
  const found = new Map<string, bigint>();
  let whole = 0n;
  for (const [number, epoch] of history.epochs.entries()) {
    const numbers = new Map<number, { first: number; values: bigint[] }>();
    for (let write = epoch.from; write < epoch.to; write += 1) {
      const content = data.written(write);
      const first = (history.writes[write]?.offsetBytes ?? 0) / sectorSizeBytes;
      const values = Array.from({ length: content.length / sectorSizeBytes }, (_, i) =>
        numberOf(first + i, content.subarray(i * sectorSizeBytes, (i + 1) * sectorSizeBytes)),
      );
      numbers.set(write, { first, values });
    }
    const sumOf = (changed: Map<number, bigint>): bigint => {
      let sum = whole;
      for (const [sector, value] of changed) sum += value - current(sector);
      return sum & mask;
    };
    for (const state of byEpoch.get(number) ?? []) {
      const changed = new Map<number, bigint>();
      for (const { write, runs } of stepsOf(state)) {
        const { first, values } = numbers.get(write) ?? { first: 0, values: [] };
        for (const run of runs ?? [{ from: 0, to: values.length }]) apply(changed, values, first, run);
      }
      found.set(state.id, sumOf(changed));
    }
    const changed = new Map<number, bigint>();
    for (const { first, values } of numbers.values()) apply(changed, values, first, { from: 0, to: values.length });
    whole = sumOf(changed);
    for (const [sector, value] of changed) now.set(sector, value);
  }
  return found;
}

/** What to write over the disk as it was at the beginning of the epoch, in order; `runs` null: the whole write. */
export function stepsOf(state: CrashState): { readonly write: number; readonly runs: readonly SectorRun[] | null }[] {
  const steps: { write: number; runs: readonly SectorRun[] | null }[] = state.kept.map((write) => ({
    write,
    runs: null,
  }));
  if (state.torn !== null) steps.push({ write: state.torn.write, runs: state.torn.sectors });
  return steps.toSorted((a, b) => a.write - b.write);
}

function numberOf(sector: number, content: Buffer): bigint {
  return Bun.hash.wyhash(content, BigInt(sector) + 1n);
}
