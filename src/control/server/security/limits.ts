/** What the endpoint takes from whom, and how much of it. */
import type { Principal } from "./principal.ts";
import { countedAs, createBuckets, type Rate, TooOften } from "./token-bucket.ts";

export interface Limits {
  /** A request whose bytes trickle in is cut after so long; one that flows is not. */
  readonly requestSeconds: number;
  /** What one machine may say, by its token. */
  readonly machine: Rate;
  /** What one address may do without a token: log in, or enrol without a code. */
  readonly stranger: Rate;
  /** How often one address may be told 401. */
  readonly refused: Rate;
}

export const usualLimits: Limits = {
  requestSeconds: 30,
  machine: { perSecond: 20, burst: 100 },
  stranger: { perSecond: 5, burst: 100 },
  refused: { perSecond: 5, burst: 100 },
};

/** The largest body of a request, and those of the routes that strangers may call or that need less. */
export const MOST_BODY_BYTES = 1 << 20;
export const MOST_EVENTS_BYTES = 512 << 10;
export const MOST_ENROL_BYTES = 64 << 10;
export const MOST_LOGIN_BYTES = 4 << 10;

const MOST_ADDRESSES = 20_000;
const MOST_MACHINES = 100_000;

/**
 * Counts. An address is never counted for what comes with a good token: ten thousand machines may stand behind one. What
 * limits guessing is the length of the tokens; what is limited here is the work that strangers can make.
 */
export interface Limiter {
  /** @throws TooOften where this machine talks too much. */
  heard(principal: Principal): void;
  /** Before a route that needs no token. @throws TooOften */
  stranger(address: string | null): void;
  /** As `stranger`, for one who brings a secret: it is counted only where it was wrong. @throws TooOften */
  secretBearer(address: string | null): void;
  /** Somebody is about to be told 401. @throws TooOften to be told instead. */
  refused(address: string | null): void;
}

export function createLimiter(limits: Limits, now: () => number = () => performance.now()): Limiter {
  const machines = createBuckets(limits.machine, MOST_MACHINES);
  const strangers = createBuckets(limits.stranger, MOST_ADDRESSES);
  const refusals = createBuckets(limits.refused, MOST_ADDRESSES);
  const check = (seconds: number, what: string) => {
    if (seconds > 0) throw new TooOften(what, seconds);
  };
  return {
    heard(principal) {
      if (principal.kind !== "machine") return;
      check(machines.take(principal.machineId, now()), `machine ${principal.machineId} sends too many requests`);
    },
    stranger(address) {
      check(strangers.take(countedAs(address), now()), `too many requests without a token from ${address}`);
    },
    secretBearer(address) {
      check(refusals.secondsUntilNext(countedAs(address), now()), `too many wrong secrets from ${address}`);
    },
    refused(address) {
      check(refusals.take(countedAs(address), now()), `too many wrong tokens from ${address}`);
    },
  };
}
