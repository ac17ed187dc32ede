/**
 * Opening what a path names inside a root file system that is not ours. openat2(2) does it in the kernel; Linux before 5.6
 * does not know it, and an old system that is armed may have such a kernel: then the names are looked up one by one.
 */
import { constants, fstatSync, readlinkSync } from "node:fs";
import { closeFd, openAt, openInRoot, SystemCallError } from "../system/libc.ts";
import { errnoOf } from "./file-io.ts";
import { displayPath, joinPath, splitPath } from "./path.ts";

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const MAX_SYMLINKS = 40; // as the kernel
const [ENOTDIR, ELOOP] = [20, 40];

let isOpenat2Known = true;

/**
 * A descriptor (O_PATH) of what `path` names below the directory `rootFd`, symbolic links followed. The caller closes it.
 * @param flags O_DIRECTORY, or 0.
 * @throws SystemCallError with the errno of openat2(2); EAGAIN: something was renamed meanwhile, and it is to be tried again.
 */
export function openPathInRoot(rootFd: number, path: Buffer | string, flags: number): number {
  if (isOpenat2Known) {
    try {
      return openInRoot(rootFd, path, O_PATH | O_CLOEXEC | flags);
    } catch (error) {
      if (errnoOf(error) !== "ENOSYS") throw error;
      isOpenat2Known = false;
    }
  }
  return openNameByName(rootFd, path, flags);
}

/**
 * The same without openat2(2). Every directory on the way stays open until the end, so that `..` is where we came from,
 * whatever is renamed meanwhile, and never above the root.
 */
export function openNameByName(rootFd: number, path: Buffer | string, flags: number): number {
  const names = namesOf(Buffer.from(path));
  const way = [openAt(rootFd, ".", O_PATH | O_CLOEXEC | constants.O_DIRECTORY)];
  const here = (): number => way.at(-1) ?? rootFd;
  const goBack = (): void => closeFd(way.pop() ?? -1);
  let links = 0;
  try {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const text = name.toString("latin1");
      if (text === "." || text === "..") {
        requireDirectory(here(), path);
        if (text === ".." && way.length > 1) goBack();
        continue;
      }
      const fd = openAt(here(), name, O_PATH | O_CLOEXEC | constants.O_NOFOLLOW);
      way.push(fd);
      if (!fstatSync(fd).isSymbolicLink()) continue;
      goBack();
      links += 1;
      if (links > MAX_SYMLINKS) throw new SystemCallError("openat", displayPath(path), ELOOP);
      const target = readlinkSync(joinPath(Buffer.from(`/proc/self/fd/${here()}`), name), { encoding: "buffer" });
      if (target[0] === 0x2f) while (way.length > 1) goBack();
      names.unshift(...namesOf(target));
    }
    if ((flags & constants.O_DIRECTORY) !== 0) requireDirectory(here(), path);
    return way.pop() ?? -1;
  } finally {
    while (way.length > 0) goBack();
  }
}

/** The names of a path; `.` at the end where only a directory is meant. */
function namesOf(path: Buffer): Buffer[] {
  const names = splitPath(path);
  return /\/\.?$/.test(path.toString("latin1")) ? [...names, Buffer.from(".")] : names;
}

function requireDirectory(fd: number, path: Buffer | string): void {
  if (!fstatSync(fd).isDirectory()) throw new SystemCallError("openat", displayPath(path), ENOTDIR);
}
