/** What a killed process of this run may have left running or mounted, taken away before the next one begins. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { unmountBelow } from "../disk/mounts.ts";
import { waitFor } from "./devices.ts";

/** The fields of /proc/<pid>/stat that matter here (proc(5)). */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  readonly state: string;
}

/** Parses /proc/<pid>/stat; the command in parentheses may itself hold spaces and parentheses (pure). */
export function parseStat(text: string): ProcessStat {
  const close = text.lastIndexOf(")");
  const [state = "", parent, , session] = text.slice(close + 2).split(" ");
  return { pid: Number.parseInt(text, 10), parent: Number(parent), session: Number(session), state };
}

/**
 * The processes that an earlier instance started: they are in the session of the bootstrap, as this one is, while shells
 * are in sessions of their own (pure).
 */
export function selectLeftovers(processes: readonly ProcessStat[], self: ProcessStat): number[] {
  return processes
    .filter(({ pid, session, state }) => session === self.session && pid !== 1 && pid !== self.pid && state !== "Z")
    .map(({ pid }) => pid);
}

/** Ends the leftover processes, waits until they are gone, and unmounts everything below `workDir`. */
export async function clearLeftovers(workDir: string): Promise<void> {
  const self = parseStat(readFileSync("/proc/self/stat", "utf8"));
  const leftovers = selectLeftovers(readProcesses(), self);
  for (const pid of leftovers) kill(pid);
  const gone = async () =>
    selectLeftovers(readProcesses(), self).some((pid) => leftovers.includes(pid)) ? null : true;
  await waitFor(`the end of processes ${leftovers.join(", ")}`, gone, 60, async () => "they are stuck in the kernel");
  await unmountBelow(workDir);
}

/** All processes with a program; kernel threads have none. */
function readProcesses(): ProcessStat[] {
  const found: ProcessStat[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      readlinkSync(`/proc/${name}/exe`);
      found.push(parseStat(readFileSync(`/proc/${name}/stat`, "utf8")));
    } catch (error) {
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error; // it ended meanwhile
    }
  }
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it ended meanwhile
  }
}
