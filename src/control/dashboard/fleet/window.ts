/** Which rows of a long list are in sight. */
import { useEffect, useState } from "preact/hooks";

const SPARE_ROWS = 10;
/** Narrow windows get rows of two lines; style/fleet.css says the same. */
const NARROW = "(max-width: 640px)";

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

export function useRowHeight(): { readonly rowPx: number; readonly headPx: number } {
  const [isNarrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const look = () => setNarrow(query.matches);
    query.addEventListener("change", look);
    return () => query.removeEventListener("change", look);
  }, []);
  return isNarrow ? { rowPx: 62, headPx: 0 } : { rowPx: 36, headPx: 32 };
}
