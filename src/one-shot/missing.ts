/** Files that are not there, which is no failure here. */
import { readFile, stat } from "node:fs/promises";

/** Whether the error says that there is no such file or directory. */
export function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The content of a file; null where there is none. */
export async function readIfThere(path: string): Promise<Buffer | null> {
  return await readFile(path).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
}

export async function isDirectory(path: string): Promise<boolean> {
  const facts = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
  return facts?.isDirectory() === true;
}
