/** The work directory: made for one run at a time. */
import { mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { lockExclusive, SystemCallError } from "../system/libc.ts";

/**
 * Makes the work directory, and holds it for this process until it ends or disposes of the lock.
 * @throws ReimageError `usage` where this user may not make it; `state` where another process holds it: two runs would overwrite each other's image.
 */
export async function lockWorkDir(workDir: string): Promise<AsyncDisposable> {
  makeWorkDir(workDir);
  const path = join(workDir, "lock");
  const handle = await open(path, "w", 0o600);
  try {
    lockExclusive(handle.fd, path);
    return handle;
  } catch (cause) {
    await handle.close();
    if (!(cause instanceof SystemCallError) || !["EWOULDBLOCK", "EAGAIN"].includes(cause.code)) throw cause;
    throw new ReimageError("state", `another reimage is running with the work directory ${workDir}`, {
      hint: "wait until it ends; its console says how far it is",
    });
  }
}

function makeWorkDir(workDir: string): void {
  try {
    mkdirSync(workDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ReimageError("usage", `the work directory ${workDir} cannot be made`, {
      cause,
      hint: "run reimage as root, or name another directory with --work",
    });
  }
}
