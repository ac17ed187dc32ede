/** How high a row is. */
import { useEffect, useState } from "preact/hooks";

/** Narrow windows get rows of two lines; style/fleet.css says the same. */
const NARROW = "(max-width: 640px)";

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
