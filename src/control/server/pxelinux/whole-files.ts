/** Small steps on files and directories that several modules here need. */
import type { Stats } from "node:fs";
import { chmod, lstat, mkdir } from "node:fs/promises";

/** The name of the errno of a failed system call (`ENOENT` …), or null. */
export function errnoOf(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

/** lstat(2), or null where nothing is there. */
export async function statsIfThere(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Makes a directory where it is missing, for everybody to read whatever our umask is: TFTP servers run as somebody else. */
export async function makePublicDirectory(path: string): Promise<void> {
  const created = await mkdir(path, { recursive: true });
  if (created !== undefined) await chmod(path, 0o755);
}
