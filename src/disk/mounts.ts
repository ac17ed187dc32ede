/** Mounting: the old OS without changing a byte of it, the new OS for the retained files. */
import { ReimageError } from "../errors.ts";

/** A line of /proc/self/mountinfo (proc(5)). */
export interface MountInfo {
  /** `major:minor`; an anonymous `0:n` for btrfs. */
  readonly deviceNumber: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

/** A mounted file system; disposing unmounts it. */
export interface Mount extends AsyncDisposable {
  readonly device: string;
  readonly directory: string;
  readonly type: string;
}

/** Parses /proc/self/mountinfo, octal escapes resolved. */
export function parseMountInfo(_text: string): MountInfo[] {
  throw new ReimageError("bug", "not written yet");
}

/**
 * Mounts for reading without replaying a journal or a log.
 * @throws ReimageError `old-os`, or the code given.
 */
export async function mountReadOnly(_device: string, _directory: string): Promise<Mount> {
  throw new ReimageError("bug", "not written yet");
}

/** Mounts for writing. @throws ReimageError `new-os` */
export async function mountReadWrite(_device: string, _directory: string): Promise<Mount> {
  throw new ReimageError("bug", "not written yet");
}

/** Unmounts everything at and below a directory, deepest and latest first: leftovers of a run that was killed. */
export async function unmountBelow(_directory: string): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}
