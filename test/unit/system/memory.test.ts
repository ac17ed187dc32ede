import { expect, test } from "bun:test";
import { ReimageError } from "../../../src/errors.ts";
import {
  type MemoryFacts,
  type MemoryNeed,
  parseMemAvailable,
  recordBytes,
  requireMemory,
} from "../../../src/system/memory.ts";

const MIB = 1 << 20;
const need: MemoryNeed = { imageBytes: 700 * MIB, retainedBytes: 30 * MIB, workingSetBytes: 96 * MIB };
const keptBytes = need.imageBytes + need.retainedBytes + recordBytes;
const plenty: MemoryFacts = { availableBytes: 8192 * MIB, workDirFreeBytes: 8192 * MIB, workDirIsMemory: true };

/** The refusal, or null. */
function refusal(facts: Partial<MemoryFacts>, needed = need): ReimageError | null {
  try {
    requireMemory(needed, { ...plenty, ...facts }, "/run/reimage");
    return null;
  } catch (error) {
    if (error instanceof ReimageError && error.code === "memory") return error;
    throw error;
  }
}

test("MemAvailable is what counts", () => {
  expect(parseMemAvailable("MemTotal:  2000 kB\nMemFree:  5 kB\nMemAvailable:    1000 kB\n")).toBe(1_024_000);
  expect(() => parseMemAvailable("MemFree: 5 kB\n")).toThrow("no MemAvailable");
});

test("a work directory in memory takes from the memory: exactly enough is enough, a byte less is not", () => {
  const neededBytes = keptBytes + need.workingSetBytes;
  expect(refusal({ availableBytes: neededBytes })).toBeNull();
  expect(refusal({ availableBytes: neededBytes - 1 })).toMatchObject({
    message:
      "not enough memory: 842 MiB needed (image 700 MiB, retained files 30 MiB, record 16 MiB, work 96 MiB), 841 MiB available",
    hint: expect.stringContaining("put the image on another disk or USB stick"),
  });
});

test("a work directory on a disk does not", () => {
  expect(refusal({ availableBytes: need.workingSetBytes, workDirIsMemory: false })).toBeNull();
  expect(refusal({ availableBytes: need.workingSetBytes - 1, workDirIsMemory: false })?.message).toStartWith(
    "not enough memory: 96 MiB needed",
  );
});

test("the work directory must have the room, whatever it lies on", () => {
  for (const workDirIsMemory of [true, false]) {
    expect(refusal({ workDirFreeBytes: keptBytes, workDirIsMemory })).toBeNull();
    expect(refusal({ workDirFreeBytes: keptBytes - 1, workDirIsMemory })?.message).toStartWith(
      "not enough room in /run/reimage: 746 MiB needed (image 700 MiB, retained files 30 MiB, record 16 MiB, work 96 MiB), 745 MiB free",
    );
  }
});

test("an image that is not copied needs no room, but the record does", () => {
  const without = { ...need, imageBytes: 0, retainedBytes: 0 };
  expect(refusal({ workDirFreeBytes: recordBytes }, without)).toBeNull();
  expect(refusal({ workDirFreeBytes: recordBytes - 1 }, without)).not.toBeNull();
});
