/** Small steps on files and directories that several modules here need. */
import { constants, type Stats } from "node:fs";
import { lstat, open } from "node:fs/promises";

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

/** fsync(2) of a directory: the names in it are then on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
