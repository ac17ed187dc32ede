/** What hits a run, and when: planned by a seed, from how long a run takes that nothing hits. Pure. */
import { createRandom, type Random } from "../../test/support/random.ts";

/**
 * `kill`: SIGKILL of the program. `oom`: the kernel's out-of-memory killer is told to choose (sysrq-f). `hog`: another
 * process takes all memory there is, until the killer comes by itself. `panic`: the kernel panics (sysrq-c), and restarts.
 */
export type Means = "kill" | "oom" | "hog" | "panic";

/** What a run is hit by. Memory that runs out comes in two ways. */
export const kinds = { kill: ["kill"], oom: ["oom", "hog"], panic: ["panic"] } as const satisfies Record<
  string,
  readonly Means[]
>;
export type Kind = keyof typeof kinds;

/** What a run says as it gets on, in order. The first is where it begins, or carries on after it was hit. */
export const marks: readonly RegExp[] = [
  /^/,
  /^reimage \d+\.\d/m,
  /\[save\] begins/,
  /\[save\] reading the image/,
  /\[save\] saving the retained files/,
  /\[save\] finished/,
  /files are in the lifeboat/,
  /\[write\] begins/,
  /\[write\] clearing/,
  /\[write\] writing the image/,
  /\[write\] reading it back/,
  /\[write\] finished/,
  /\[restore\] begins/,
  /\[restore\] restoring/,
  /directories are back/,
  /they were read back/,
  /\[restore\] committing/,
  /the disk is complete/,
  /reimage: success/,
];

/** As a mark: nothing of the lifeboat is left, and the machine has yet to restart. */
export const onceWiped = marks.length;

/** An instant: so long after the run has said that, or something further on. A program that has yet to start is waited for. */
export interface Strike {
  readonly means: Means;
  readonly mark: number;
  readonly delayMs: number;
}

/** When a run that nothing hits comes to its marks, in milliseconds since its machine was switched on; null: not at all. */
export type Timeline = readonly (number | null)[];

/** How long a program that is started takes to its first word. */
const startMs = 3000;
/** How long a run may take from its last word to the restart. */
const endMs = 5000;

/** The strikes of one run, in its order: half of the instants are spread over its time, half over its marks. */
export function planStrikes(
  timeline: Timeline,
  {
    seed,
    kind,
    run,
    count,
  }: { readonly seed: number; readonly kind: Kind; readonly run: number; readonly count: number },
): Strike[] {
  const random = createRandom(Number(Bun.hash(`${seed}:${kind}:${run}`) & 0x7fffffffn));
  const times = kind === "panic" ? timeline : ofProgram(timeline);
  const strikes = Array.from({ length: count }, (): Strike => {
    const instant = random.chance(0.5) ? anyTime(times, random) : anyMark(times, random);
    return { means: random.pick(kinds[kind]), ...instant };
  });
  return strikes.toSorted((a, b) => a.mark - b.mark || a.delayMs - b.delayMs);
}

/** Without the time in which there is no program. */
function ofProgram(timeline: Timeline): Timeline {
  const first = timeline[1] ?? 0;
  return timeline.map((ms, mark) => (ms === null || mark === 0 ? ms : ms - first + startMs));
}

function anyTime(timeline: Timeline, random: Random): Omit<Strike, "means"> {
  const end = timeline.findLast((ms) => ms !== null) ?? 0;
  const at = random.below(Math.max(1, Math.floor(end)));
  const mark = timeline.findLastIndex((ms) => ms !== null && ms <= at);
  return { mark, delayMs: Math.floor(at - (timeline[mark] ?? 0)) };
}

function anyMark(timeline: Timeline, random: Random): Omit<Strike, "means"> {
  const there = timeline.flatMap((ms, mark) => (ms === null ? [] : [{ ms, mark }]));
  const index = random.below(there.length);
  const { ms, mark } = there[index] ?? { ms: 0, mark: 0 };
  const gapMs = (there[index + 1]?.ms ?? ms + endMs) - ms;
  return { mark, delayMs: random.below(Math.max(1, Math.floor(Math.min(gapMs, endMs)))) };
}

/** When the marks come in what a machine has said. @param received what it had said by when, in order */
export function timelineOf(received: readonly { readonly atMs: number; readonly text: string }[]): Timeline {
  return marks.map((mark, index) => (index === 0 ? 0 : (received.find(({ text }) => mark.test(text))?.atMs ?? null)));
}

/** Whether a run has come to a mark, or past it, in what it has said since it began or was hit. */
export function hasCome(said: string, mark: number): boolean {
  return marks.slice(mark).some((pattern) => pattern.test(said));
}
