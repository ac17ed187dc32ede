/** Everything that can be observed about a file, for comparing trees. */
import { createHash } from "node:crypto";
import { lstat, open, readlink } from "node:fs/promises";
import { displayPath } from "../../src/retention/path.ts";
import { getXattr, listXattrs, seekDataOrHole } from "../../src/system/libc.ts";

export type FileFacts = Readonly<Record<string, unknown>>;

/** The facts of one file. `sameFileAs` names the first of `paths` that is the same inode. */
export async function readFacts(root: string, path: Buffer): Promise<FileFacts> {
  const absolute = Buffer.concat([Buffer.from(root), path]);
  const stats = await lstat(absolute, { bigint: true });
  return {
    mode: stats.mode.toString(8),
    uid: stats.uid,
    gid: stats.gid,
    size: stats.isDirectory() ? null : stats.size,
    names: stats.isDirectory() ? null : stats.nlink,
    device: stats.isCharacterDevice() || stats.isBlockDevice() ? stats.rdev : null,
    accessed: stats.atimeNs,
    modified: stats.mtimeNs,
    xattrs: Object.fromEntries(
      listXattrs(absolute)
        .toSorted()
        .map((name) => [name, getXattr(absolute, name).toString("hex")]),
    ),
    target: stats.isSymbolicLink() ? (await readlink(absolute, { encoding: "buffer" })).toString("hex") : null,
    ...(stats.isFile() ? await readData(absolute) : {}),
  };
}

/** The facts of many files, by their path in a readable form. */
export async function readAllFacts(root: string, paths: readonly Buffer[]): Promise<Record<string, FileFacts>> {
  const facts: Record<string, FileFacts> = {};
  for (const path of paths) facts[displayPath(path)] = await readFacts(root, path);
  return facts;
}

async function readData(absolute: Buffer): Promise<FileFacts> {
  const file = await open(absolute, 0o1000000); // O_NOATIME: looking must not change what is looked at
  try {
    const sizeBytes = (await file.stat()).size;
    const hash = createHash("sha256");
    const data: [number, number][] = [];
    for (let at = 0; at < sizeBytes; ) {
      const start = seekDataOrHole(file.fd, at, "data");
      if (start === null) break;
      const end = seekDataOrHole(file.fd, start, "hole") ?? sizeBytes;
      const buffer = Buffer.alloc(end - start);
      await file.read(buffer, 0, buffer.length, start);
      hash.update(buffer);
      data.push([start, end]);
      at = end;
    }
    return { data, sha256: hash.digest("hex") };
  } finally {
    await file.close();
  }
}
