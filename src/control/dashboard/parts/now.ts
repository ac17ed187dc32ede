/** The endpoint's time, for a component that shows ages. */
import { useEffect, useState } from "preact/hooks";
import { nowOfEndpointMs } from "../api.ts";

export function useNow(everyMs: number): number {
  const [nowMs, setNowMs] = useState(nowOfEndpointMs());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(nowOfEndpointMs()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return nowMs;
}
