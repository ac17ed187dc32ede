/**
 * Runs seeded cases. A case that fails names its seed: `FUZZ_SEED=<seed> FUZZ_CASES=1` repeats it alone, and other values
 * search further than the tests do.
 */
import { expect } from "bun:test";
import { type ErrorCode, ReimageError } from "../../src/errors.ts";
import { createRandom, type Random } from "./random.ts";

const usualCases = 10_000;

/**
 * Runs `attempt` 10,000 times. It returns whether its input was accepted; what it throws fails the test. Cases that are all
 * refused, or all accepted, would test nothing.
 */
export function fuzz(firstSeed: number, attempt: (random: Random) => boolean): void {
  const first = Number(process.env.FUZZ_SEED ?? firstSeed);
  const count = Number(process.env.FUZZ_CASES ?? usualCases);
  let accepted = 0;
  for (let seed = first; seed < first + count; seed += 1) {
    try {
      if (attempt(createRandom(seed))) accepted += 1;
    } catch (cause) {
      throw new Error(`the case with FUZZ_SEED=${seed} failed: ${cause}`, { cause });
    }
  }
  if (count < usualCases) return;
  expect(accepted).toBeGreaterThan(count / 100);
  expect(accepted).toBeLessThan(count - count / 100);
}

/**
 * What `parse` returns, or null where it refuses as it should: a ReimageError of that code, with a hint, and a message that
 * is fit for a console whatever was in the input.
 */
export function parseOrRefuse<T>(code: ErrorCode, parse: () => T): T | null {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ReimageError)) throw error;
    expect(error.code).toBe(code);
    expect(error.hint ?? "").not.toBe("");
    let chain = error.message;
    for (let e = error.cause; e instanceof Error; e = e.cause) chain += e.message;
    expect(chain.length).toBeLessThan(3000);
    expect(chain).not.toMatch(/[\0-\x1f\x7f-\x9f]/);
    return null;
  }
}
