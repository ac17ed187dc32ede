/** The folder of one arming: the old file systems are mounted below it once more, so it is not simply removed. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseMountInfo, unmountBelow } from "../disk/mounts.ts";
import { ReimageError } from "../errors.ts";
import { lockWorkDir } from "../stages/work-dir.ts";

const prefix = "reimage-arm-";

export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
}

/** Makes one, with a directory `mnt` in it. Disposing unmounts what is below it, and removes it. */
export async function openWorkFolder(): Promise<WorkFolder> {
  const path = mkdtempSync(join(tmpdir(), prefix));
  const lock = await lockWorkDir(path);
  mkdirSync(join(path, "mnt"));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await removeFolder(path);
      await lock[Symbol.asyncDispose]();
    },
  };
}

/** Unmounts and removes what killed processes have left; what a running one holds stays. */
export async function removeLeftFolders(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(prefix))) {
    const path = join(tmpdir(), name);
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (!status?.isDirectory() || status.uid !== 0) continue; // anybody may make what is called like ours
    const lock = await lockWorkDir(path).catch((error: unknown) => {
      if (error instanceof ReimageError && error.code === "state") return null;
      throw error;
    });
    if (lock === null) continue;
    await removeFolder(path);
    await lock[Symbol.asyncDispose]();
  }
}

/** @throws ReimageError `state` where something is still mounted: removing would empty the old file systems. */
async function removeFolder(path: string): Promise<void> {
  await unmountBelow(path);
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  if (mounts.some(({ mountPoint }) => mountPoint.startsWith(`${path}/`))) {
    throw new ReimageError("state", `a file system is still mounted below ${path}`, { hint: "unmount it" });
  }
  rmSync(path, { recursive: true, force: true });
}
