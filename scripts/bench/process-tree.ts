/** What the processes of a command take, as /proc tells while they run. */
import { readdirSync, readFileSync } from "node:fs";

/** CPU seconds, in user space and in the kernel. */
export interface CpuSplit {
  readonly userSeconds: number;
  readonly systemSeconds: number;
}

/** Watches a process and all that it starts. */
export interface TreeWatch {
  /** Looks once. Called often, for what has ended cannot be asked any more. */
  look(): void;
  /** The sum over all processes seen of the most memory that each had resident (VmHWM of proc(5)), in bytes. */
  peakBytes(): number;
  /** CPU time by `process/thread` name; what was used after the last look is missing. */
  cpuByThread(): ReadonlyMap<string, CpuSplit>;
}

/** proc(5) counts in ticks of 1/100 s on every Linux that this runs on (getconf CLK_TCK). */
const ticksPerSecond = 100;

/** VmHWM in bytes from the text of /proc/PID/status (pure); null for a process that has ended, which has no memory. */
export function parsePeakBytes(status: string): number | null {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kibibytes === undefined ? null : Number(kibibytes) * 1024;
}

/** Name and CPU time from the text of /proc/PID/stat (pure). The name may hold spaces and parentheses. */
export function parseStat(stat: string): CpuSplit & { readonly name: string } {
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" "); // from field 3, the state, on
  const seconds = (field: number) => Number(fields[field - 3]) / ticksPerSecond;
  return { name: stat.slice(stat.indexOf("(") + 1, end), userSeconds: seconds(14), systemSeconds: seconds(15) };
}

/** Starts to watch; nothing is looked at before the first look(). */
export function watchTree(rootPid: number): TreeWatch {
  const peaks = new Map<string, number>();
  const threads = new Map<number, CpuSplit & { readonly name: string }>();

  function lookAt(pid: number): void {
    const folder = `/proc/${pid}`;
    const children: number[] = [];
    try {
      const { name } = parseStat(readFileSync(`${folder}/stat`, "utf8"));
      const peakBytes = parsePeakBytes(readFileSync(`${folder}/status`, "utf8"));
      // By name too: a process that executes another program starts anew.
      const key = `${pid} ${name}`;
      if (peakBytes !== null) peaks.set(key, Math.max(peakBytes, peaks.get(key) ?? 0));
      for (const tid of readdirSync(`${folder}/task`)) {
        const thread = parseStat(readFileSync(`${folder}/task/${tid}/stat`, "utf8"));
        threads.set(Number(tid), { ...thread, name: `${name}/${thread.name}` });
        const text = readFileSync(`${folder}/task/${tid}/children`, "utf8").trim();
        if (text !== "") children.push(...text.split(" ").map(Number));
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH") throw error; // it has ended meanwhile
    }
    for (const child of children) lookAt(child);
  }

  return {
    look: () => lookAt(rootPid),
    peakBytes: () => [...peaks.values()].reduce((sum, bytes) => sum + bytes, 0),
    cpuByThread() {
      const sums = new Map<string, CpuSplit>();
      for (const { name, userSeconds, systemSeconds } of threads.values()) {
        const sum = sums.get(name);
        sums.set(name, {
          userSeconds: userSeconds + (sum?.userSeconds ?? 0),
          systemSeconds: systemSeconds + (sum?.systemSeconds ?? 0),
        });
      }
      return sums;
    },
  };
}
