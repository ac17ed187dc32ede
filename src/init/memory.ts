/** The limit of /run, which holds the image and the retained files: what does not fit is refused, not killed. */
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { runCommand } from "../system/commands.ts";
import { parseMemAvailable } from "../system/memory.ts";

/** For the decoder, the program itself and the kernel's caches. */
const RESERVE_BYTES = 64 * 2 ** 20;

/** How large the work directory's file system may become (pure). */
export function workLimitBytes(usedBytes: number, availableBytes: number): number {
  return usedBytes + Math.max(availableBytes - RESERVE_BYTES, 0);
}

/**
 * Limits /run to what it holds already and the memory that is available, less a reserve: a write that is too much fails
 * with ENOSPC, an error with a name, before the kernel has to kill somebody.
 * @returns the memory that is available, in bytes.
 */
export async function limitRunDirectory(): Promise<number> {
  const availableBytes = parseMemAvailable(readFileSync("/proc/meminfo", "utf8"));
  const { blocks, bfree, bsize } = await statfs("/run");
  const limitBytes = workLimitBytes((blocks - bfree) * bsize, availableBytes);
  await runCommand("mount", ["-o", `remount,size=${limitBytes}`, "/run"]);
  return availableBytes;
}
