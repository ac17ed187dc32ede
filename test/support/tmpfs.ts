/** Memory of a chosen size, mounted on a directory. Needs root. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { runTestCommand, temporaryDirectory } from "./loop-device.ts";

/** A tmpfs; disposing of it takes it away with everything in it. */
export interface Tmpfs extends AsyncDisposable {
  readonly dir: string;
  resize(sizeBytes: number): Promise<void>;
}

/** Mounts a tmpfs on `dir`, or on a new directory. */
export async function mountTmpfs(sizeBytes: number, dir?: string): Promise<Tmpfs> {
  await using stack = new AsyncDisposableStack();
  const target = dir ?? stack.use(await temporaryDirectory()).dir;
  await runTestCommand(["mount", "-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", target]);
  stack.defer(async () => void (await runTestCommand(["umount", "--lazy", target])));
  const owned = stack.move();
  return {
    dir: target,
    resize: async (bytes) => void (await runTestCommand(["mount", "-o", `remount,size=${bytes}`, target])),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Fills a file system to its last block with a file of that name. */
export function fillUp(directory: string, name: string, block: Uint8Array = Buffer.alloc(4096)): void {
  const fd = openSync(join(directory, name), "w");
  try {
    for (;;) writeSync(fd, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
}
