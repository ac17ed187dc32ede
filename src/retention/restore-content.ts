/** Makes a file from the archive: its content, or what it is instead of content. */
import { createHash } from "node:crypto";
import { type FileHandle, open, symlink } from "node:fs/promises";
import { makeNode } from "../system/libc.ts";
import type { IndexEntry } from "./entry.ts";
import { readFully, writeFully } from "./file-io.ts";

const CHUNK_BYTES = 1024 * 1024;

const nodeTypeBits = { fifo: 0o010000, "character-device": 0o020000, "block-device": 0o060000 } as const;

/**
 * Makes the file at `path`, where nothing is, calls `finish` for its metadata, and syncs it. Holes stay holes.
 * @throws Error where the archive does not hold what the index says.
 */
export async function createFromArchive(
  path: Buffer,
  entry: IndexEntry,
  archive: FileHandle,
  onProgress: (bytes: number) => void,
  finish: () => Promise<void>,
): Promise<void> {
  switch (entry.type) {
    case "file":
      return await createRegularFile(path, entry, archive, onProgress, finish);
    case "symlink":
      if (entry.symlinkTarget === null) throw new Error("the index lacks the target of the symbolic link");
      await symlink(entry.symlinkTarget, path);
      return await finish();
    case "fifo":
    case "character-device":
    case "block-device":
      makeNode(path, nodeTypeBits[entry.type] | 0o600, entry.device);
      return await finish();
    default:
      throw new Error(`an entry of type ${entry.type} has no content`);
  }
}

async function createRegularFile(
  path: Buffer,
  entry: IndexEntry,
  archive: FileHandle,
  onProgress: (bytes: number) => void,
  finish: () => Promise<void>,
): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let archiveOffsetBytes = entry.archiveOffsetBytes;
    await file.truncate(entry.sizeBytes);
    for (const extent of entry.extents) {
      for (let done = 0; done < extent.lengthBytes; ) {
        const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, extent.lengthBytes - done));
        await readFully(archive, chunk, archiveOffsetBytes);
        hash.update(chunk);
        await writeFully(file, chunk, extent.offsetBytes + done);
        done += chunk.length;
        archiveOffsetBytes += chunk.length;
        onProgress(chunk.length);
      }
    }
    if (hash.digest("hex") !== entry.sha256) throw new Error("the archive in RAM no longer holds what was saved");
    await finish();
    await file.sync();
  } finally {
    await file.close();
  }
}
