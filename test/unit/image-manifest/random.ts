/** Repeatable randomness for fuzzing: the same seed gives the same cases on every machine. */

/** Numbers from 0 (inclusive) to 1 (exclusive): mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `text` with one to three places cut, doubled, moved or overwritten. */
export function mutate(text: string, random: () => number): string {
  const below = (limit: number) => Math.floor(random() * limit);
  let result = text;
  for (let n = 1 + below(3); n > 0; n--) {
    const from = below(result.length + 1);
    const to = Math.min(result.length, from + below(20));
    const middle = result.slice(from, to);
    const replacements = [
      "",
      middle + middle,
      String.fromCharCode(below(128)),
      "\0",
      "\n",
      "9".repeat(below(30)),
      "null",
      "{",
      '"',
    ];
    result = result.slice(0, from) + (replacements[below(replacements.length)] ?? "") + result.slice(to);
  }
  return result;
}
