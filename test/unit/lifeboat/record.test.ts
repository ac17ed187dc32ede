/** The state record: whole or not there, and the newer copy counts. */
import { describe, expect, test } from "bun:test";
import { bootLayout } from "../../../src/lifeboat/layout.ts";
import {
  chooseRecord,
  encodeRecord,
  firstRecord,
  isOldOsWhole,
  type LifeboatRecord,
  lifeboatStates,
  nextRecord,
  parseRecord,
} from "../../../src/lifeboat/record.ts";
import { createRandom } from "../../support/random.ts";

const uuid = "11111111-2222-4333-8444-555555555555";
const first = firstRecord(uuid);
const later: LifeboatRecord = { ...first, seq: 2, state: "saved", retained: { sizeBytes: 5, sha256: "ab" } };
const empty = Buffer.alloc(bootLayout.recordBytes);

test("what is encoded is parsed again, in exactly one block", () => {
  for (const state of lifeboatStates) {
    const record = { ...later, state, reason: "the disk \u2028 is\nbroken ".repeat(300) };
    const block = encodeRecord(record);
    expect(block.length).toBe(bootLayout.recordBytes);
    expect(parseRecord(block, uuid)).toMatchObject({ state, seq: 2, retained: later.retained });
  }
});

test("the longest reason in any alphabet fits", () => {
  for (const letter of ["a", "é", "漢", "\u0001", "\\", '"', "\ud800", "🚢"]) {
    const reason = letter.repeat(5000);
    const facts = { slot: 1, sizeBytes: 2 ** 50, sha256: "f".repeat(64) } as const;
    const retained = { sizeBytes: 2 ** 50, sha256: "f".repeat(64) };
    const record = { ...later, seq: 2 ** 50, attempts: 1000, facts, retained, reason };
    expect(parseRecord(encodeRecord(record), uuid)?.seq).toBe(2 ** 50);
  }
});

test("attempts count anew only where the run gets further than ever", () => {
  let record: LifeboatRecord = { ...first, attempts: 3 };
  for (const state of ["saved", "writing", "written"] as const) {
    record = nextRecord({ ...record, attempts: 3 }, { state });
    expect(record).toMatchObject({ state, attempts: 0 });
  }
  // A restore that fails each time, in a file system that has to be written anew each time.
  for (let attempts = 1; attempts <= 5; attempts += 1) {
    record = nextRecord(record, { attempts });
    for (const state of ["writing", "written"] as const) {
      record = nextRecord(record, { state });
      expect(record).toMatchObject({ state, attempts });
    }
  }
  expect(nextRecord(record, { reason: "x" })).toMatchObject({ seq: record.seq + 1, attempts: 5 });
  expect(nextRecord(record, { state: "restored" }).attempts).toBe(0);
});

test("a record of another lifeboat is none", () => {
  expect(parseRecord(encodeRecord(first), "99999999-2222-4333-8444-555555555555")).toBeNull();
});

describe("of two copies", () => {
  test("the newer one counts, and the next record goes over the older one", () => {
    const [a, b] = [encodeRecord(first), encodeRecord(later)];
    expect(chooseRecord([a, b], uuid)).toEqual({ record: later, nextCopy: 0 });
    expect(chooseRecord([b, a], uuid)).toEqual({ record: later, nextCopy: 1 });
    expect(chooseRecord([a, empty], uuid)).toEqual({ record: first, nextCopy: 1 });
    expect(chooseRecord([empty, empty], uuid)).toBeNull();
  });

  test("a write that was torn at any sector leaves the older one", () => {
    const [old, next] = [encodeRecord(first), encodeRecord(later)];
    const stale = encodeRecord({ ...first, seq: 0 });
    let tornCount = 0;
    for (let subset = 1; subset < 255; subset += 1) {
      const torn = Buffer.from(stale);
      for (let sector = 0; sector < 8; sector += 1) {
        if (subset & (1 << sector)) next.copy(torn, sector * 512, sector * 512, (sector + 1) * 512);
      }
      if (torn.equals(next)) continue; // the sectors that are missing hold zeros in both
      tornCount += 1;
      expect(chooseRecord([old, torn], uuid)?.record).toEqual(first);
    }
    expect(tornCount).toBeGreaterThan(100);
  });

  test("no flipped bit is believed", () => {
    const random = createRandom(7);
    const next = encodeRecord(later);
    const usedBytes = next.findLastIndex((byte) => byte !== 0) + 1;
    for (let round = 0; round < 500; round += 1) {
      const broken = Buffer.from(next);
      const at = random.below(usedBytes);
      broken.writeUInt8(broken.readUInt8(at) ^ (1 << random.below(8)), at);
      expect(parseRecord(broken, uuid)).toBeNull();
    }
  });
});

test("the old OS is whole until the first write", () => {
  const whole = lifeboatStates.filter(isOldOsWhole);
  expect(whole).toEqual(["armed", "saved", "abandoned"]);
});
