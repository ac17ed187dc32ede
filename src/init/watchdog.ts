/**
 * The hardware watchdog (Documentation/watchdog/watchdog-api.rst): resets the machine when nobody feeds it. The bootstrap
 * takes the feeding over, by the path in /run/reimage/watchdog, when the program has ended and a person takes its place.
 */
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { hasTool, runCommand } from "../system/commands.ts";
import { ioctl } from "../system/libc.ts";

/** A watchdog that counts down. */
export interface Watchdog {
  readonly path: string;
  /** What it calls itself, as `i6300ESB timer`. */
  readonly identity: string;
  /** How long it waits for the next feeding; what the hardware agreed to, not what was asked for. */
  readonly timeoutSeconds: number;
  feed(): void;
  /** Stops it, where it can be stopped; otherwise leaves it to the bootstrap to feed. */
  stop(): void;
}

const SOFTWARE = "Software Watchdog";

/** Hardware before the kernel's own software watchdog, which dies with the kernel (pure). */
export function chooseWatchdog(
  candidates: readonly { name: string; identity: string }[],
): { name: string; identity: string } | null {
  const sorted = [...candidates].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return sorted.find(({ identity }) => identity !== SOFTWARE) ?? sorted[0] ?? null;
}

function readWatchdogs(): { name: string; identity: string }[] {
  const directory = "/sys/class/watchdog";
  try {
    return readdirSync(directory).map((name) => ({
      name,
      identity: readFileSync(join(directory, name, "identity"), "utf8").trim(),
    }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // a kernel without watchdogs
    throw error;
  }
}

/** Starts the machine's watchdog, or the kernel's software one where there is none. Null where there is neither. */
export async function startWatchdog(timeoutSeconds: number, workDir: string): Promise<Watchdog | null> {
  if (readWatchdogs().length === 0 && hasTool("modprobe")) {
    await runCommand("modprobe", ["--quiet", "softdog"], { accept: [1] });
  }
  const chosen = chooseWatchdog(readWatchdogs());
  if (chosen === null) return null;
  return openWatchdog(`/dev/${chosen.name}`, chosen.identity, timeoutSeconds, join(workDir, "watchdog"));
}

/** Opens a watchdog, which starts it. @throws the error of node:fs, such as EBUSY. */
function openWatchdog(path: string, identity: string, wantedSeconds: number, handOver: string): Watchdog {
  const fd = openSync(path, "w");
  writeFileSync(handOver, path);
  return {
    path,
    identity,
    timeoutSeconds: setTimeoutSeconds(fd, wantedSeconds),
    feed: () => void writeSync(fd, "\0"),
    stop() {
      const canStop = readFileSync(`/sys/class/watchdog/${path.slice("/dev/".length)}/nowayout`, "utf8").trim() === "0";
      if (canStop) writeSync(fd, "V"); // the magic close
      closeSync(fd);
      if (canStop) rmSync(handOver, { force: true });
    },
  };
}

/** WDIOC_SETTIMEOUT; hardware that refuses keeps its own timeout. @returns WDIOC_GETTIMEOUT's answer. */
function setTimeoutSeconds(fd: number, seconds: number): number {
  const [WDIOC_SETTIMEOUT, WDIOC_GETTIMEOUT] = [0xc0045706, 0x80045707];
  const value = Buffer.alloc(4);
  value.writeInt32LE(seconds, 0);
  try {
    ioctl(fd, WDIOC_SETTIMEOUT, value, "WDIOC_SETTIMEOUT");
  } catch {
    // EINVAL: beyond what the hardware can; EOPNOTSUPP: it has one timeout only. The answer below counts.
  }
  ioctl(fd, WDIOC_GETTIMEOUT, value, "WDIOC_GETTIMEOUT");
  return value.readInt32LE(0);
}
