/** Which known word somebody may have meant (pure). */

/** The number of characters to insert, delete or replace to get from one word to the other (Levenshtein). */
export function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[to.length] ?? 0;
}

/**
 * The known key nearest to an unknown one. Upper and lower case count as the same, and a key that only lacks or has a
 * wrong section (`source` for `image.source`) is near too.
 */
export function nearest(unknown: string, known: readonly string[]): string {
  const last = (key: string) => key.slice(key.lastIndexOf(".") + 1);
  const word = unknown.toLowerCase().slice(0, 100); // nobody means a longer one, and the distance takes its square
  let best = { key: known[0] ?? "", distance: Number.POSITIVE_INFINITY };
  for (const key of known) {
    const candidate = key.toLowerCase();
    const elsewhere = candidate.includes(".")
      ? editDistance(last(word), last(candidate)) + 1.5
      : Number.POSITIVE_INFINITY;
    const distance = Math.min(editDistance(word, candidate), elsewhere);
    if (distance < best.distance) best = { key, distance };
  }
  return best.key;
}
