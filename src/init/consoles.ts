/**
 * Every console that the kernel writes to. A console may be slow, have nothing behind it, or not exist: writing never
 * waits, and a console that is broken is left alone. The run does not depend on anybody listening.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConsoleTarget } from "../report/console.ts";
import { ioctl } from "../system/libc.ts";

/** More than this is not kept for a console that does not take it: what is oldest goes. */
const BACKLOG_BYTES = 64 * 1024;
const RETRY_MILLISECONDS = 50;

/** A console that was opened; see ConsoleTarget. */
export interface Console extends ConsoleTarget {
  readonly name: string;
  /** Waits until everything has left the machine, at most `milliseconds`. */
  drain(milliseconds: number): Promise<void>;
  close(): void;
}

/** The names in /sys/class/tty/console/active. Where the kernel has no console left, the screen is still worth a try (pure). */
export function parseActiveConsoles(text: string): string[] {
  const names = text.split(/\s+/).filter((name) => name !== "");
  return names.length === 0 ? ["tty0"] : names;
}

/** A virtual terminal has a screen and a cursor; everything else (ttyS0, hvc0, ttyUSB0 …) is a line (pure). */
export function kindOfConsole(name: string): "terminal" | "line" {
  return /^tty[0-9]+$/.test(name) ? "terminal" : "line";
}

/** Opens all active consoles. One that cannot be opened is left out, with the reason in `failures`. */
export function openConsoles(): { consoles: Console[]; failures: unknown[] } {
  const consoles: Console[] = [];
  const failures: unknown[] = [];
  for (const name of parseActiveConsoles(readFileSync("/sys/class/tty/console/active", "utf8"))) {
    try {
      consoles.push(openConsole(`/dev/${name}`, name));
    } catch (error) {
      failures.push(error);
    }
  }
  return { consoles, failures };
}

/** Opens one console. @throws the error of node:fs where the device does not exist or has no hardware. */
export function openConsole(path: string, name: string): Console {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const kind = kindOfConsole(name);
  let backlog = Buffer.alloc(0);
  let timer: ReturnType<typeof setTimeout> | null = null;
  let isBroken = false;

  function flush(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    try {
      while (backlog.length > 0) backlog = backlog.subarray(writeSync(fd, backlog));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") {
        timer = setTimeout(flush, RETRY_MILLISECONDS);
        timer.unref();
        return;
      }
      isBroken = true; // EIO, ENXIO: nothing is behind it, or it was unplugged
      backlog = Buffer.alloc(0);
    }
  }

  return {
    name,
    kind,
    columns: kind === "terminal" ? readColumns(fd) : 80,
    write(text) {
      if (isBroken) return;
      backlog = Buffer.concat([backlog, Buffer.from(text)]);
      if (backlog.length > BACKLOG_BYTES) backlog = backlog.subarray(backlog.length - BACKLOG_BYTES);
      if (timer === null) flush();
      if (isBroken) throw new Error(`console ${name} takes no output`);
    },
    async drain(milliseconds) {
      const deadline = performance.now() + milliseconds;
      for (;;) {
        if (backlog.length > 0) flush(); // its timer may be later than the deadline
        if (isBroken || (backlog.length === 0 && outputQueueBytes(fd) === 0)) return;
        if (performance.now() >= deadline) return;
        await sleep(10);
      }
    },
    close() {
      if (timer !== null) clearTimeout(timer);
      closeSync(fd);
    },
  };
}

/** TIOCGWINSZ (ioctl_tty(2)): the width of a terminal, 80 where it has none. */
function readColumns(fd: number): number {
  const TIOCGWINSZ = 0x5413;
  const size = Buffer.alloc(8);
  try {
    ioctl(fd, TIOCGWINSZ, size, "TIOCGWINSZ");
  } catch {
    return 80; // not a terminal that knows
  }
  return size.readUInt16LE(2) || 80;
}

/** TIOCOUTQ (ioctl_tty(2)): bytes that a serial line has not sent yet. */
function outputQueueBytes(fd: number): number {
  const TIOCOUTQ = 0x5411;
  const count = Buffer.alloc(4);
  try {
    ioctl(fd, TIOCOUTQ, count, "TIOCOUTQ");
  } catch {
    return 0; // a device that does not count has nothing to wait for
  }
  return count.readInt32LE(0);
}
