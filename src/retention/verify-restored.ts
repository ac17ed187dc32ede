/** Success is proven: what was restored is read from the disk again and compared with the index. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { describeError, ReimageError } from "../errors.ts";
import type { IndexEntry, RetainedArchive } from "./entry.ts";
import { readFully } from "./file-io.ts";
import { readIndex } from "./index-file.ts";
import { decodePath, displayPath } from "./path.ts";
import { openRootedDirectory, type RootedDirectory } from "./rooted.ts";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Compares the restored files of the new OS mounted at `newRoot` with the index: type, size, content, link target. It
 * proves something only when nothing of them is cached: mount the file systems anew for it.
 * @throws ReimageError `readback` naming the first file that differs.
 */
export async function verifyRestored(archive: RetainedArchive, newRoot: string): Promise<void> {
  const last = new Map<string, IndexEntry>(); // of two files that are moved to the same place, the later one is there
  for await (const entry of readIndex(archive.indexPath)) {
    if (!entry.isParent) last.set(decodePath(entry.restorePath), entry);
  }
  await using rooted = await openRootedDirectory(newRoot);
  for (const entry of last.values()) {
    const difference = await findDifference(rooted, entry).catch((error) => describeError(error));
    if (difference === null) continue;
    throw new ReimageError(
      "readback",
      `${displayPath(entry.restorePath)} in the new OS is not what was restored: ${difference}`,
      {
        hint: "the disk or its cable is faulty; replace it, do not use this disk",
      },
    );
  }
}

async function findDifference(rooted: RootedDirectory, entry: IndexEntry): Promise<string | null> {
  if (entry.type === "directory") {
    rooted.openDirectory(entry.restorePath)[Symbol.dispose]();
    return null;
  }
  using parent = rooted.openParent(entry.restorePath);
  const found = await lstat(parent.path);
  switch (entry.type) {
    case "symlink":
      return entry.symlinkTarget?.equals(await readlink(parent.path, { encoding: "buffer" })) ? null : "another target";
    case "fifo":
      return found.isFIFO() ? null : "no FIFO";
    case "character-device":
      return found.isCharacterDevice() ? null : "no character device";
    case "block-device":
      return found.isBlockDevice() ? null : "no block device";
    case "link":
      return found.isFile() ? null : "no file"; // where hard links cannot be made it is a copy: a failure in the report
    case "file":
      if (!found.isFile()) return "no file";
      return found.size === entry.sizeBytes ? await compareContent(parent.path, entry) : `${found.size} bytes long`;
  }
}

async function compareContent(path: Buffer, entry: IndexEntry): Promise<string | null> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (const extent of entry.extents) {
    for (let done = 0; done < extent.lengthBytes; ) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, extent.lengthBytes - done));
      await readFully(file, chunk, extent.offsetBytes + done);
      hash.update(chunk);
      done += chunk.length;
    }
  }
  return hash.digest("hex") === entry.sha256 ? null : "another content";
}
