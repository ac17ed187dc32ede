/** Fingerprints and images of crash states, against disks that are put together byte by byte in memory. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CrashState, candidates, type History, historyOf, stateOf } from "../../../scripts/power/crash-states.ts";
import { fingerprints } from "../../../scripts/power/fingerprints.ts";
import { openStateImages } from "../../../scripts/power/state-images.ts";
import { createRandom } from "../../support/random.ts";

const sectorBytes = 512;
const diskSectors = 64;

/** A run that writes few different contents to few places, so that many of its states are the same. */
function randomRun(seed: number) {
  const random = createRandom(seed);
  const before = Buffer.alloc(diskSectors * sectorBytes);
  for (let i = 0; i < diskSectors; i += 2) before.fill(1 + (i % 5), i * sectorBytes, (i + 1) * sectorBytes);
  const data: Buffer[] = [];
  const entries = Array.from({ length: 30 }, () => {
    const flush = random.chance(0.25);
    const sectors = flush ? 0 : 1 + random.below(4);
    if (!flush) data.push(Buffer.alloc(sectors * sectorBytes, random.below(3)));
    const offsetBytes = random.below(diskSectors - 4) * sectorBytes;
    const common = { discard: false, mark: false, fua: false, dataOffsetBytes: 0 };
    return { ...common, flush, offsetBytes, lengthBytes: sectors * sectorBytes };
  });
  const history = historyOf({ sectorSizeBytes: sectorBytes, entries });
  const written = (write: number) => data[write] ?? Buffer.alloc(0);
  const states = candidates(history, seed, 6).map((id) => stateOf(history, id, seed));
  return { before, history, written, states };
}

/** The disk of a state, the plain way. */
function diskOf(history: History, before: Buffer, written: (write: number) => Buffer, state: CrashState): Buffer {
  const disk = Buffer.from(before);
  const until = history.epochs[state.epoch]?.from ?? 0;
  for (const [number, { offsetBytes }] of history.writes.entries()) {
    if (number < until || state.kept.includes(number)) written(number).copy(disk, offsetBytes);
    if (state.torn?.write === number) {
      for (const { from, to } of state.torn.sectors)
        written(number).copy(disk, offsetBytes + from * sectorBytes, from * sectorBytes, to * sectorBytes);
    }
  }
  return disk;
}

test("two states have the same fingerprint just when they hold the same bytes", () => {
  let same = 0;
  for (let seed = 0; seed < 20; seed += 1) {
    const { before, history, written, states } = randomRun(seed);
    const found = fingerprints(history, { before: (at, length) => before.subarray(at, at + length), written }, states);
    const contents = states.map((state) => diskOf(history, before, written, state).toString("latin1"));
    expect(new Set(found.values()).size).toBe(new Set(contents).size);
    const byContent = new Map<string, bigint>();
    for (const [i, state] of states.entries()) {
      const [content = "", print = 0n] = [contents[i], found.get(state.id)];
      expect(byContent.get(content) ?? print).toBe(print);
      byContent.set(content, print);
    }
    same += states.length - byContent.size;
  }
  expect(same).toBeGreaterThan(100); // or the test would be about nothing
});

test("the image of every state holds its bytes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "reimage-states-"));
  try {
    const { before, history, written, states } = randomRun(99);
    writeFileSync(join(folder, "rolling"), before);
    using images = openStateImages(history, written, join(folder, "rolling"));
    for (const state of states.toSorted((a, b) => a.epoch - b.epoch)) {
      await images.make(state, join(folder, "state"));
      expect(readFileSync(join(folder, "state")).equals(diskOf(history, before, written, state))).toBe(true);
    }
    await expect(images.make(stateOf(history, "0.none", 1), join(folder, "state"))).rejects.toThrow("epoch 0");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
