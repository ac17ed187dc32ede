/** How much memory there is, and whether it suffices. */
import { readFile, statfs } from "node:fs/promises";
import { ReimageError } from "../errors.ts";

/** MemAvailable of /proc/meminfo (proc(5)), in bytes (pure). @throws ReimageError `bug` where it is not there. */
export function parseMemAvailable(meminfo: string): number {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  if (kibibytes === undefined) throw new ReimageError("bug", "/proc/meminfo has no MemAvailable");
  return Number(kibibytes) * 1024;
}

/** What is free for a run: memory, and room in the directory that holds the image and the retained files. */
export interface MemoryFacts {
  readonly availableBytes: number;
  readonly workDirFreeBytes: number;
  /** Whether the directory is in memory itself. */
  readonly workDirIsMemory: boolean;
}

/** Reads the memory facts for a work directory. */
export async function readMemory(workDir: string): Promise<MemoryFacts> {
  const TMPFS_MAGIC = 0x01021994;
  const RAMFS_MAGIC = 0x858458f6;
  const fileSystem = await statfs(workDir);
  const isRamfs = fileSystem.type === RAMFS_MAGIC; // which has no size, hence no free blocks
  return {
    availableBytes: parseMemAvailable(await readFile("/proc/meminfo", "utf8")),
    workDirFreeBytes: isRamfs ? Number.POSITIVE_INFINITY : fileSystem.bavail * fileSystem.bsize,
    workDirIsMemory: isRamfs || fileSystem.type === TMPFS_MAGIC,
  };
}

/** Kernel, unpacked initramfs and this program, on a machine with 512 MB (docs/compatibility.md): what a run does not have. */
const initramfsTakesBytes = 210 << 20;

/** The memory facts of the initramfs that this machine is going to boot. */
export async function foreseeMemory(): Promise<MemoryFacts> {
  const kibibytes = /^MemTotal:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1];
  if (kibibytes === undefined) throw new ReimageError("bug", "/proc/meminfo has no MemTotal");
  const availableBytes = Math.max(0, Number(kibibytes) * 1024 - initramfsTakesBytes);
  return { availableBytes, workDirFreeBytes: availableBytes, workDirIsMemory: true };
}

/** What the record of a run takes: its events and log over hours, its state and report, and the first MiB of the disk. */
export const recordBytes = 16 << 20;

/** What a run needs. */
export interface MemoryNeed {
  /** The compressed image, where it has to be copied; else 0. */
  readonly imageBytes: number;
  readonly retainedBytes: number;
  /** Decoder, buffers and this program, beyond what it has taken already. */
  readonly workingSetBytes: number;
}

// Rounded apart: what is short by a byte is not shown as equal.
const mebibytes = (bytes: number) => `${Math.ceil(bytes / (1 << 20))} MiB`;
const wholeMebibytes = (bytes: number) => `${Math.floor(bytes / (1 << 20))} MiB`;

/** @throws ReimageError `memory`, with the numbers, where the need is not met. */
export function requireMemory(need: MemoryNeed, facts: MemoryFacts, workDir: string): void {
  const keptBytes = need.imageBytes + need.retainedBytes + recordBytes;
  const neededBytes = need.workingSetBytes + (facts.workDirIsMemory ? keptBytes : 0);
  const parts = `image ${mebibytes(need.imageBytes)}, retained files ${mebibytes(need.retainedBytes)}, record ${mebibytes(recordBytes)}, work ${mebibytes(need.workingSetBytes)}`;
  if (facts.availableBytes < neededBytes) {
    throw new ReimageError(
      "memory",
      `not enough memory: ${mebibytes(neededBytes)} needed (${parts}), ${wholeMebibytes(facts.availableBytes)} available`,
      {
        hint: "retain less, make a smaller image, or put the image on another disk or USB stick, where it is not copied",
      },
    );
  }
  if (facts.workDirFreeBytes < keptBytes) {
    throw new ReimageError(
      "memory",
      `not enough room in ${workDir}: ${mebibytes(keptBytes)} needed (${parts}), ${wholeMebibytes(facts.workDirFreeBytes)} free`,
      {
        hint: "give the work directory more room, retain less, or put the image on another disk, where it is not copied",
      },
    );
  }
}
