/**
 * When a one-shot copy counts as booted from: pure, the time is an argument (milliseconds of a clock that never jumps).
 *
 * A boot begins with the first read of the copy. TFTP clients ask again when an answer is late, probe the size first, and
 * may read a file twice: whatever reads the copy within `retryWindowMs` belongs to the same boot, and gets the same file.
 * The boot counts when that time is over and nobody has the file open any more; at the latest after `longestReadMs`,
 * because a server may hold the file open for a client that was switched off. Both times are bounds from the first read:
 * a machine that asks again and again does not prolong them.
 */

/** The two times that define one boot. */
export interface ReadTimes {
  readonly retryWindowMs: number;
  readonly longestReadMs: number;
}

interface Copy {
  openCount: number;
  firstReadMs: number | null;
  /** When it is to be reported; Infinity once it has been. */
  notBeforeMs: number;
}

export interface ReadTracker {
  /** Starts to follow a copy; events of other names mean nothing. */
  follow(name: string): void;
  forget(name: string): void;
  isFollowed(name: string): boolean;
  names(): string[];
  /** Whether a read of it is known. */
  wasRead(name: string): boolean;
  opened(name: string): void;
  read(name: string, nowMs: number): void;
  closed(name: string): void;
  /** Events were lost: who has which file open is no longer known, and not waited for. */
  forgetOpenings(): void;
  /** The copies whose boot counts now; each is named once. */
  takeDue(nowMs: number): string[];
  /** Reporting it has failed: it is due again at that time. */
  retryAt(name: string, atMs: number): void;
}

export function createReadTracker({ retryWindowMs, longestReadMs }: ReadTimes): ReadTracker {
  const copies = new Map<string, Copy>();

  function isDue(copy: Copy, nowMs: number): boolean {
    if (copy.firstReadMs === null || nowMs < copy.notBeforeMs) return false;
    const sinceMs = nowMs - copy.firstReadMs;
    return sinceMs >= (copy.openCount > 0 ? longestReadMs : retryWindowMs);
  }

  return {
    follow: (name) => {
      if (!copies.has(name)) copies.set(name, { openCount: 0, firstReadMs: null, notBeforeMs: 0 });
    },
    forget: (name) => void copies.delete(name),
    isFollowed: (name) => copies.has(name),
    names: () => [...copies.keys()],
    wasRead: (name) => (copies.get(name)?.firstReadMs ?? null) !== null,
    opened: (name) => {
      const copy = copies.get(name);
      if (copy !== undefined) copy.openCount += 1;
    },
    read: (name, nowMs) => {
      const copy = copies.get(name);
      if (copy !== undefined) copy.firstReadMs ??= nowMs;
    },
    closed: (name) => {
      const copy = copies.get(name);
      // Below zero where it was open before it was followed, or where the kernel told two openings as one.
      if (copy !== undefined) copy.openCount = Math.max(0, copy.openCount - 1);
    },
    forgetOpenings: () => {
      for (const copy of copies.values()) copy.openCount = 0;
    },
    takeDue: (nowMs) => {
      const due: string[] = [];
      for (const [name, copy] of copies) {
        if (!isDue(copy, nowMs)) continue;
        copy.notBeforeMs = Number.POSITIVE_INFINITY;
        due.push(name);
      }
      return due;
    },
    retryAt: (name, atMs) => {
      const copy = copies.get(name);
      if (copy !== undefined) copy.notBeforeMs = atMs;
    },
  };
}
