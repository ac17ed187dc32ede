/** Times for people (pure). Sizes and durations are those of the consoles: src/report/format.ts. */

/** `now`, `12 s ago`, `7 min ago`, `3 h ago`, `5 d ago`; a clock that is a little behind is no reason for a negative time. */
export function formatAgo(iso: string | null, nowMs: number): string {
  if (iso === null) return "never";
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(iso)) / 1000));
  if (!Number.isFinite(seconds)) return "unknown";
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** `2026-11-21 14:03:22` in the reader's time zone; the text itself where it is no time. */
export function formatTime(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return `${formatDay(time)} ${formatClock(time.getTime())}`;
}

/** `14:03:22` in the reader's time zone. */
export function formatClock(ms: number): string {
  const time = new Date(ms);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
}

const formatDay = (time: Date) => `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
const two = (n: number) => String(n).padStart(2, "0");
