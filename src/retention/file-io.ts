/** Whole reads and writes: a short count is finished or reported, never taken for success. */
import type { FileHandle } from "node:fs/promises";

/** Writes all of `data` at `offsetBytes`. */
export async function writeFully(file: FileHandle, data: Uint8Array, offsetBytes: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offsetBytes + done);
    if (bytesWritten === 0) throw new Error("the kernel wrote 0 bytes without naming an error");
    done += bytesWritten;
  }
}

/** Fills `data` from `offsetBytes`; throws where the file ends before. */
export async function readFully(file: FileHandle, data: Uint8Array, offsetBytes: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesRead } = await file.read(data, done, data.length - done, offsetBytes + done);
    if (bytesRead === 0) throw new Error(`it ends at byte ${offsetBytes + done}, before what was to be read`);
    done += bytesRead;
  }
}

/** The name of the errno of a failed system call (`ENOENT` …), or null. */
export function errnoOf(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

/** Awaits `operation`; returns false instead of throwing where it fails with one of the named errnos. */
export async function succeeds(operation: Promise<unknown>, ...unless: string[]): Promise<boolean> {
  try {
    await operation;
    return true;
  } catch (error) {
    if (unless.includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
