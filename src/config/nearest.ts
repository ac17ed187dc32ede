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
 * The known key nearest to an unknown one. Upper and lower case count as the same; a key of the same section is nearer, and
 * so is one that was cut short (`timeout`) or written without its section (`source`).
 */
export function nearest(unknown: string, known: readonly string[]): string {
  const word = split(unknown.toLowerCase().slice(0, 100)); // nobody means a longer one; the distance takes its square
  let best = { key: known[0] ?? "", distance: Number.POSITIVE_INFINITY };
  for (const key of known) {
    const distance = keyDistance(word, split(key.toLowerCase()));
    if (distance < best.distance) best = { key, distance };
  }
  return best.key;
}

interface Key {
  readonly whole: string;
  readonly section: string;
  readonly name: string;
}

function split(key: string): Key {
  const dot = key.lastIndexOf(".");
  return { whole: key, section: key.slice(0, Math.max(0, dot)), name: key.slice(dot + 1) };
}

function keyDistance(word: Key, candidate: Key): number {
  const whole = editDistance(word.whole, candidate.whole);
  const isSameSection = word.section !== "" && word.section === candidate.section;
  if (isSameSection) return candidate.name.startsWith(word.name) ? 1 : Math.max(1, whole - 3);
  const elsewhere = candidate.section === "" ? whole : editDistance(word.name, candidate.name) + 1.5;
  return Math.min(whole, elsewhere);
}
