/** Which rows of a long list are in sight (pure). */

const SPARE_ROWS = 10;

export interface Sight {
  readonly topPx: number;
  readonly heightPx: number;
}

/** The indexes of the rows in sight, some to spare, and `active`, which must be in the document wherever it is (pure). */
export function windowOf(count: number, rowPx: number, { topPx, heightPx }: Sight, active: number): number[] {
  const first = Math.max(0, Math.floor(topPx / rowPx) - SPARE_ROWS);
  const last = Math.min(count - 1, Math.ceil((topPx + heightPx) / rowPx) + SPARE_ROWS);
  const rows = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
  if (active >= 0 && active < first) rows.unshift(active);
  if (active > last && active < count) rows.push(active);
  return rows;
}
