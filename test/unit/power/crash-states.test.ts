import { describe, expect, test } from "bun:test";
import { candidates, historyOf, idsOf, stateOf } from "../../../scripts/power/crash-states.ts";
import type { LogEntry } from "../../../scripts/power/write-log.ts";

const sector = 512;

/** `F` a flush; `5` a write of five sectors; `2!` one with FUA; `3F` one behind a flush of its own. */
function history(...words: string[]) {
  const entries = words.map((word, i): LogEntry => {
    const lengthBytes = Number.parseInt(word, 10) * sector || 0;
    const common = { discard: false, mark: false, dataOffsetBytes: 0, offsetBytes: i << 20, lengthBytes };
    return { ...common, flush: word.endsWith("F"), fua: word.endsWith("!") };
  });
  return historyOf({ sectorSizeBytes: sector, entries });
}

const everyState = (of: ReturnType<typeof history>, seed: number, random = 20) =>
  candidates(of, seed, random).map((id) => stateOf(of, id, seed));

describe("epochs", () => {
  const ranges = (...words: string[]) => history(...words).epochs.map(({ from, to }) => [from, to]);

  test("end at every flush that has something to flush, and at the end of the run", () => {
    expect(ranges("1", "2", "F", "F", "3", "F")).toEqual([
      [0, 2],
      [2, 3],
      [3, 3],
    ]);
    expect(ranges("1", "F", "2")).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });

  test("a flush with data flushes what is before it, not itself", () => {
    expect(ranges("1", "2F", "1")).toEqual([
      [0, 1],
      [1, 3],
    ]);
  });
});

describe("states", () => {
  test("of an epoch that are not left to chance", () => {
    const of = history("1", "1", "1", "F");
    const kept = Object.fromEntries(idsOf(of, 0, 0).map((id) => [id, stateOf(of, id, 1).kept]));
    expect(kept).toEqual({
      "0.none": [],
      "0.all": [0, 1, 2],
      "0.last-lost": [0, 1],
      "0.last-only": [2],
      "0.first-lost": [1, 2],
    });
  });

  test("every flush has the state that comes just after it", () => {
    const of = history("1", "F", "8", "1", "F", "2", "F");
    expect(candidates(of, 7, 0).slice(0, 4).toSorted()).toEqual(["0.none", "1.none", "2.none", "3.none"]);
  });

  test("a completed FUA write is never lost", () => {
    const of = history("1", "4!", "1", "1", "F");
    for (const state of everyState(of, 3)) {
      const last = Math.max(-1, ...state.kept, state.torn?.write ?? -1);
      if (last > 1) expect(state.kept).toContain(1);
    }
  });

  test("the same seed and id make the same state, whatever else is made; another seed another", () => {
    const of = history("64", "1", "1", "9", "1", "1", "F");
    const id = "0.random-5";
    const first = stateOf(of, id, 42);
    everyState(of, 42);
    expect(stateOf(of, id, 42)).toEqual(first);
    const others = Array.from({ length: 20 }, (_, seed) => JSON.stringify(stateOf(of, id, seed)));
    expect(new Set(others).size).toBeGreaterThan(10);
  });

  test("a torn write is torn at sectors: a beginning, an end, any of them; never none in it that is whole twice", () => {
    const of = history("16", "F");
    const torn = everyState(of, 5, 40).flatMap((state) => state.torn ?? []);
    const shapes = new Set<string>();
    for (const { sectors } of torn) {
      for (const { from, to } of sectors) {
        expect(from).toBeGreaterThanOrEqual(0);
        expect(from).toBeLessThan(to);
        expect(to).toBeLessThanOrEqual(16);
      }
      const [first, last] = [sectors[0]?.from === 0, sectors.at(-1)?.to === 16];
      if (sectors.length === 1) shapes.add(first && !last ? "prefix" : last && !first ? "suffix" : "piece");
      if (sectors.length > 1) shapes.add("some");
    }
    expect([...shapes]).toEqual(expect.arrayContaining(["prefix", "suffix", "some"]));
  });

  test("chance reaches every subset of a few writes", () => {
    const of = history("1", "1", "1", "F");
    const subsets = new Set(everyState(of, 9, 200).map((state) => state.kept.join()));
    expect([...subsets].toSorted()).toEqual(["", "0", "0,1", "0,1,2", "0,2", "1", "1,2", "2"]);
  });

  test("what is torn is not also kept, and all belongs to the epoch", () => {
    const of = history("8", "1", "F", "8!", "2", "1", "30", "F", "1");
    for (const { epoch, kept, torn } of everyState(of, 11, 50)) {
      const { from, to } = of.epochs[epoch] ?? { from: -1, to: -1 };
      for (const write of [...kept, ...(torn === null ? [] : [torn.write])]) {
        expect(write).toBeGreaterThanOrEqual(from);
        expect(write).toBeLessThan(to);
      }
      expect(kept).not.toContain(torn?.write ?? -1);
      expect(kept).toEqual([...new Set(kept)].toSorted((a, b) => a - b));
    }
  });

  test("an id that names none is refused", () => {
    const of = history("1", "F");
    expect(() => stateOf(of, "0.most", 1)).toThrow("0.most");
    expect(() => stateOf(of, "7.none", 1)).toThrow("7");
  });
});
