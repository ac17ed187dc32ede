/** Who keeps a mounted file system busy. */
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { MountInfo } from "./mount-info.ts";
import { listDirectory } from "./sysfs.ts";

/** The mounts below a directory and the processes that have something open in it, as text behind an error; or "". */
export async function describeUsers(directory: string, mounts: readonly MountInfo[]): Promise<string> {
  const below = mounts.filter((mount) => mount.mountPoint.startsWith(`${directory}/`));
  const processes = await processesIn(directory);
  const uses = [...below.map((mount) => `${mount.mountPoint} is mounted in it`), ...processes];
  return uses.length === 0 ? "" : ` (${uses.join("; ")})`;
}

async function processesIn(directory: string): Promise<string[]> {
  const users: string[] = [];
  for (const pid of (await listDirectory("/proc")).filter((name) => /^\d+$/.test(name))) {
    const process = join("/proc", pid);
    // A process may end while it is looked at, and other users' processes may be closed to us: both have no links then.
    const descriptors = await listDirectory(join(process, "fd")).catch(() => []);
    const links = ["cwd", "root", "exe", ...descriptors.map((fd) => join("fd", fd))];
    const targets = await Promise.all(links.map((link) => readlink(join(process, link)).catch(() => "")));
    const used = targets.find((target) => target === directory || target.startsWith(`${directory}/`));
    if (used === undefined) continue;
    const name = (await readFile(join(process, "comm"), "utf8").catch(() => "")).trim();
    users.push(`process ${pid} (${name}) uses ${used}`);
  }
  return users;
}
