/** Paths of the old OS, whose root may be a mounted tree: links in it must not lead to files of the machine that looks at it. */
import { lstat, readlink } from "node:fs/promises";
import { join, normalize } from "node:path";
import { isMissing } from "./missing.ts";

const MAXIMUM_LINKS = 40;

/**
 * Where a path of the old OS really is: all links followed, none out of `root`. What does not exist is taken literally.
 * Not openat2(2), which an old OS with a kernel before 5.6 lacks.
 */
export async function locate(root: string, path: string): Promise<string> {
  let links = 0;
  let found = "/";
  const left = path.split("/").filter(Boolean);
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    const next = normalize(join(found, part)); // `..` at the root stays there
    const target = await linkTarget(join(root, next));
    if (target === null) found = next;
    else {
      links += 1;
      if (links > MAXIMUM_LINKS) return join(root, next);
      left.unshift(...target.split("/").filter(Boolean));
      if (target.startsWith("/")) found = "/";
    }
  }
  return join(root, found);
}

async function linkTarget(path: string): Promise<string | null> {
  const facts = await lstat(path).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
  return facts?.isSymbolicLink() === true ? await readlink(path) : null;
}
