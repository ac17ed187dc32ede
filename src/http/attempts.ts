/** When to ask again, whom, and when to give up: the patience of one reader. */
import { ReimageError } from "../errors.ts";
import type { Mirror, Mirrors } from "./mirrors.ts";
import { defaultFirstPauseSeconds, type HttpOptions, longestPause } from "./options.ts";
import type { Clock } from "./request.ts";
import { Trouble } from "./trouble.ts";

/** A server that cannot resume is asked to begin again this often without getting any further than before. */
const mostFruitlessAttempts = 10;

export interface Attempts extends Clock {
  /** Somebody begins to wait: what passed before is not the servers' fault. */
  restart(): void;
  /** New bytes were had, and not only such as were had before. */
  progressed(): void;
  /**
   * Decides what to do after something went wrong: turns to the next mirror, and pauses once all have been asked.
   * @throws ReimageError what was thrown if it was one, or `image` where patience is at its end.
   */
  failed(mirror: Mirror, thrown: unknown): Promise<void>;
  /** Keeps in mind what was wrong with a mirror, and says so. @throws what was thrown, if it was no Trouble. */
  note(mirror: Mirror, thrown: unknown): Trouble;
  /** Waits before the same servers are asked again. @throws ReimageError as above. */
  pause(): Promise<void>;
}

/** @param where says how far the reading had come: "at byte 5" */
export function createAttempts(
  mirrors: Mirrors,
  options: HttpOptions,
  signal: AbortSignal,
  where: () => string,
): Attempts {
  const stallMs = options.stallSeconds * 1000;
  const firstPauseMs = (options.firstPauseSeconds ?? defaultFirstPauseSeconds) * 1000;
  let lastByte = performance.now();
  let failures = 0;
  let rounds = 0;
  let askedToPauseMs = 0;
  let arrivedSinceFailure = false;
  let fruitless = 0;

  const leftMs = () => lastByte + stallMs - performance.now();

  function giveUp(reason: string): never {
    throw new ReimageError("image", `image ${mirrors.name} ${reason} (${where()}): ${mirrors.describe()}`, {
      hint: "check the network and the servers; image.stallSeconds says how long they are waited for",
    });
  }

  async function pause(): Promise<void> {
    if (leftMs() <= 0) giveUp(`gave no byte for ${options.stallSeconds} s`);
    // Half of it is chance, so that a hundred machines do not come back at the same instant.
    const backOffMs = firstPauseMs * Math.min(2 ** rounds, longestPause) * (0.5 + Math.random() / 2);
    rounds += 1;
    const pauseMs = Math.min(Math.max(backOffMs, askedToPauseMs), leftMs());
    askedToPauseMs = 0;
    await sleep(pauseMs, signal);
  }

  function note(mirror: Mirror, thrown: unknown): Trouble {
    if (!(thrown instanceof Trouble)) throw thrown;
    // The last wait is cut short by the end of patience: what was wrong before says more.
    const isCutShort = thrown.kind === "passing" && leftMs() <= 0;
    mirrors.turnFrom(mirror, isCutShort ? (mirror.trouble ?? thrown) : thrown);
    options.notify?.(`${mirror.address.name} ${thrown.message} (${where()})`);
    askedToPauseMs = Math.max(askedToPauseMs, thrown.pauseSeconds * 1000);
    return thrown;
  }

  return {
    waitMs: () => Math.max(1, Math.min(options.timeoutSeconds * 1000, leftMs())),
    arrived() {
      lastByte = performance.now();
      arrivedSinceFailure = true;
    },
    restart() {
      lastByte = performance.now();
    },
    progressed() {
      failures = 0;
      rounds = 0;
      fruitless = 0;
    },
    note,
    pause,
    async failed(mirror, thrown) {
      const { kind } = note(mirror, thrown);
      if (arrivedSinceFailure) fruitless += 1;
      arrivedSinceFailure = false;
      if (fruitless > mostFruitlessAttempts) giveUp(`broke off ${fruitless} times without getting any further`);
      if (kind !== "passing") return; // the next one is asked at once; current() throws if there is none
      failures += 1;
      if (failures % mirrors.usable().length === 0) await pause();
      else if (leftMs() <= 0) giveUp(`gave no byte for ${options.stallSeconds} s`);
    },
  };
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = () => reject(signal.reason);
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", stop, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
