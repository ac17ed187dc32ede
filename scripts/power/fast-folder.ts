/** A folder for disks that live as long as a machine runs. */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const enoughBytes = 4e9;

/** In memory, where there is room for a few disks. */
export function openFastFolder(): Disposable & { readonly path: string } {
  const { bavail, bsize } = statfsSync("/dev/shm");
  const path = mkdtempSync(join(bavail * bsize > enoughBytes ? "/dev/shm" : tmpdir(), "reimage-power-"));
  const remove = () => rmSync(path, { recursive: true, force: true });
  process.once("exit", remove);
  return { path, [Symbol.dispose]: remove };
}
