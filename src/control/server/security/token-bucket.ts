/** How often somebody may do something: a bucket of tokens for each, which fills again with time. Bounded in memory. */
import ipaddr from "ipaddr.js";
import { ReimageError } from "../../../errors.ts";

/** So much at once, and so much each second from then on. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Refused because it was too often. */
export class TooOften extends ReimageError {
  readonly retryAfterSeconds: number;

  constructor(what: string, retryAfterSeconds: number) {
    super("too-many", what, { hint: `try again in ${retryAfterSeconds} s` });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface Buckets {
  /** Takes one. @returns 0 where there was one; else the seconds until there is one again, at least 1. */
  take(key: string, nowMs: number): number;
  /** As `take`, without taking. */
  secondsUntilNext(key: string, nowMs: number): number;
  readonly size: number;
}

interface Bucket {
  level: number;
  atMs: number;
}

/**
 * @param mostKeys so many are remembered. Beyond that the one is forgotten that was asked for least recently: whoever has so
 * many names at his disposal could not be counted anyway, and must not use up the memory.
 */
export function createBuckets({ perSecond, burst }: Rate, mostKeys: number): Buckets {
  const buckets = new Map<string, Bucket>(); // the least recently used first

  function levelOf(key: string, nowMs: number): number {
    const bucket = buckets.get(key);
    if (bucket === undefined) return burst;
    const passedMs = Math.max(0, nowMs - bucket.atMs); // a clock that is set back gives nothing, and takes nothing
    return Math.min(burst, bucket.level + (passedMs / 1000) * perSecond);
  }
  const secondsUntil = (level: number) => (level >= 1 ? 0 : Math.max(1, Math.ceil((1 - level) / perSecond)));

  return {
    take(key, nowMs) {
      const level = levelOf(key, nowMs);
      const seconds = secondsUntil(level);
      buckets.delete(key);
      buckets.set(key, { level: seconds === 0 ? level - 1 : level, atMs: nowMs });
      if (buckets.size > mostKeys) buckets.delete(buckets.keys().next().value ?? "");
      return seconds;
    },
    secondsUntilNext: (key, nowMs) => secondsUntil(levelOf(key, nowMs)),
    get size() {
      return buckets.size;
    },
  };
}

/** Whom an address is counted as (pure): an IPv6 host has a whole /64 to choose addresses from. */
export function countedAs(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return "unknown";
  const parsed = ipaddr.process(address);
  if (parsed.kind() === "ipv4") return parsed.toString();
  return parsed.toByteArray().slice(0, 8).join(".");
}
