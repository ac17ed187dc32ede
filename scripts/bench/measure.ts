/** Runs a command of bash and measures it: time, memory, CPU. */
import type { Measurement } from "./figures.ts";
import { type CpuSplit, watchTree } from "./process-tree.ts";

/** How often its processes are looked at: often enough for their memory, and too seldom to slow them. */
const lookEveryMs = 50;

/** A measurement, and where its CPU time went. */
export interface DetailedMeasurement extends Measurement {
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly cpuByThread: ReadonlyMap<string, CpuSplit>;
}

/**
 * Runs `command` to its end. A pipe fails where any of its commands fails.
 * @throws Error with the command and its stderr where it fails, and where `signal` ended it: with all its processes.
 */
export async function measure(
  command: string,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<DetailedMeasurement> {
  signal.throwIfAborted();
  const start = performance.now();
  const running = Bun.spawn(["bash", "-o", "pipefail", "-c", command], {
    env: { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/sbin:/sbin`, ...environment },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    detached: true, // a process group of its own, so that all of it can be ended
  });
  const end = () => process.kill(-running.pid, "SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  const watch = watchTree(running.pid);
  const timer = setInterval(() => watch.look(), lookEveryMs);
  let seconds: number;
  let complaint: string;
  try {
    const exited = running.exited.then(() => (performance.now() - start) / 1000);
    [complaint, seconds] = await Promise.all([new Response(running.stderr).text(), exited]);
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", end);
  }
  signal.throwIfAborted();
  if (running.exitCode !== 0) {
    throw new Error(`${command} ended with ${running.signalCode ?? running.exitCode}: ${complaint.trim()}`);
  }
  const cpuTime = running.resourceUsage()?.cpuTime; // of bash and of all that it waited for
  if (cpuTime === undefined) throw new Error("this bun does not tell what a process has used");
  const userSeconds = Number(cpuTime.user) / 1e6;
  const systemSeconds = Number(cpuTime.system) / 1e6;
  return {
    seconds,
    peakBytes: watch.peakBytes(),
    cpuSeconds: userSeconds + systemSeconds,
    userSeconds,
    systemSeconds,
    cpuByThread: watch.cpuByThread(),
  };
}
