/** Paths in file systems that are not ours: where a further one is mounted, and where a file really is. */
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { openRootedDirectory } from "../retention/rooted.ts";

/**
 * The real directory of `mountPoint` as it is seen from inside `root`: a symbolic link on the way cannot lead outside.
 * In the new OS it is made where it is missing.
 * @throws ReimageError `old-os` or `new-os` where there is no such directory.
 */
export async function mountPointBelow(root: string, mountPoint: string, which: "old" | "new"): Promise<string> {
  await using directory = await openRootedDirectory(root);
  try {
    if (which === "new") await directory.ensureDirectory(mountPoint);
    const inside = await directory.resolve(mountPoint);
    if (inside !== null) return join(root, inside.toString());
  } catch (cause) {
    throw new ReimageError(`${which}-os`, `cannot mount at ${mountPoint} of the ${which} OS`, {
      cause,
      hint: `check ${which}.mounts`,
    });
  }
  throw new ReimageError(`${which}-os`, `the ${which} root has no directory ${mountPoint} to mount at`, {
    hint: `check ${which}.mounts`,
  });
}

/** A path inside a mounted file system, whose symbolic links cannot lead outside. */
export async function pathIn(root: string, path: string): Promise<string> {
  await using directory = await openRootedDirectory(root);
  const inside = await directory.resolve(path);
  return join(root, inside?.toString() ?? path);
}
