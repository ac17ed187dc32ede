/** Copies the retained files into a PAX archive and an index beside it, streaming. */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { realpath } from "node:fs/promises";
import { asReimageError, ReimageError } from "../errors.ts";
import { readAccountNames } from "./accounts.ts";
import { parseAcl } from "./acl.ts";
import type { Extent, IndexEntry, RetainedArchive, RetainedSelection, SelectedEntry } from "./entry.ts";
import { hasHole, readExtents, sumExtents } from "./extents.ts";
import { errnoOf, readFully } from "./file-io.ts";
import { HashedFile, hashFile } from "./hashed-file.ts";
import { formatIndexEntry } from "./index-file.ts";
import type { AccountNames } from "./names.ts";
import { displayPath } from "./path.ts";
import { formatPaxHeader, formatSparseMap } from "./pax.ts";
import { openRetained } from "./read-entry.ts";
import { openRootedDirectory } from "./rooted.ts";
import { TarWriter } from "./tar.ts";

export type { RetainedArchive } from "./entry.ts";

const CHUNK_BYTES = 1024 * 1024;

/** `onProgress` is called with the bytes of content that were added since its last call. */
export interface ArchiveOptions {
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Writes the files that `selectRetained(root)` found to `archivePath`, and the index to `<archivePath>.ndjson`.
 * @throws ReimageError `retain` where a file cannot be read or changes meanwhile, or there is no room.
 */
export async function archiveRetained(
  selection: RetainedSelection,
  root: string,
  archivePath: string,
  options: ArchiveOptions = {},
): Promise<RetainedArchive> {
  const indexPath = `${archivePath}.ndjson`;
  try {
    await using rooted = await openRootedDirectory(root);
    const names = await readAccountNames(rooted);
    const realRoot = await realpath(root, { encoding: "buffer" });
    await using index = await HashedFile.create(indexPath);
    await using tar = await TarWriter.create(archivePath);
    let contentBytes = 0;
    for (const entry of selection.entries) {
      const indexEntry = await addEntry(tar, entry, realRoot, names, options);
      contentBytes += sumExtents(indexEntry.extents);
      await index.append(Buffer.from(`${formatIndexEntry(indexEntry)}\n`));
    }
    const { sizeBytes, sha256 } = await tar.finish();
    const { sha256: indexSha256 } = await index.finish();
    const { count, missing } = selection;
    return { archivePath, indexPath, sizeBytes, sha256, indexSha256, count, contentBytes, missing };
  } catch (error) {
    if (error instanceof ReimageError) throw error;
    if (errnoOf(error) === "ENOSPC") {
      throw new ReimageError("retain", `there is no room for the retained files in ${archivePath} (ENOSPC)`, {
        hint: "nothing was written to the target; give the machine more RAM, or shorten the retention list",
        cause: error,
      });
    }
    throw new ReimageError(
      "retain",
      `cannot keep the retained files in ${archivePath}: ${asReimageError(error).message}`,
      {
        hint: "nothing was written to the target",
        cause: error,
      },
    );
  }
}

/** Rereads archive and index. @throws ReimageError `retain` where they are not what was written. */
export async function verifyArchive(archive: RetainedArchive): Promise<void> {
  const tar = await hashFile(archive.archivePath);
  const index = await hashFile(archive.indexPath);
  const isWhole = tar.sizeBytes === archive.sizeBytes && tar.sha256 === archive.sha256;
  if (isWhole && index.sha256 === archive.indexSha256) return;
  const path = isWhole ? archive.indexPath : archive.archivePath;
  throw new ReimageError("retain", `${path} does not hold what was written to it: its sha256 differs`, {
    hint: "the memory of this machine is faulty or was changed; test it before trying again",
  });
}

async function addEntry(
  tar: TarWriter,
  entry: SelectedEntry,
  realRoot: Buffer,
  names: AccountNames,
  options: ArchiveOptions,
): Promise<IndexEntry> {
  const owner = { user: names.users.nameOf.get(entry.uid) ?? null, group: names.groups.nameOf.get(entry.gid) ?? null };
  const facts = { ...owner, ...aclNames(entry, names) };
  const absolutePath = Buffer.concat([realRoot, entry.realPath]);
  if (entry.type !== "file") {
    const paxHeader = formatPaxHeader(entry, { ...facts, storedBytes: 0, isSparse: false });
    await tar.add({ entry, ...owner, paxHeader, storedBytes: 0, content: nothing() });
    return { ...toMetadata(entry), ...facts, extents: [], archiveOffsetBytes: 0, sha256: null };
  }
  const file = await failAs(entry, openRetained(absolutePath));
  try {
    await failAs(entry, checkUnchanged(file, entry));
    const extents = readExtents(file.fd, entry.sizeBytes);
    const isSparse = hasHole(extents, entry.sizeBytes);
    const map = isSparse ? formatSparseMap(extents, entry.sizeBytes) : Buffer.alloc(0);
    const storedBytes = map.length + sumExtents(extents);
    const paxHeader = formatPaxHeader(entry, { ...facts, storedBytes, isSparse });
    const hash = createHash("sha256");
    const content = readContent(file, entry, map, extents, hash, options);
    const offsetBytes = await tar.add({ entry, ...owner, paxHeader, storedBytes, content });
    await failAs(entry, checkUnchanged(file, entry));
    const place = { archiveOffsetBytes: offsetBytes + map.length, sha256: hash.digest("hex") };
    return { ...toMetadata(entry), ...facts, extents, ...place };
  } finally {
    await file.close();
  }
}

async function* readContent(
  file: FileHandle,
  entry: SelectedEntry,
  map: Buffer,
  extents: readonly Extent[],
  hash: Hash,
  options: ArchiveOptions,
): AsyncGenerator<Buffer> {
  yield map;
  for (const extent of extents) {
    for (let done = 0; done < extent.lengthBytes; ) {
      // A buffer of its own for each chunk: it is still queued when the next one is read.
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, extent.lengthBytes - done));
      await failAs(entry, readFully(file, chunk, extent.offsetBytes + done));
      hash.update(chunk);
      yield chunk;
      done += chunk.length;
      options.onProgress?.(chunk.length);
    }
  }
}

async function checkUnchanged(file: FileHandle, entry: SelectedEntry): Promise<void> {
  const stats = await file.stat({ bigint: true });
  if (stats.size !== BigInt(entry.sizeBytes) || stats.mtimeNs !== entry.modifiedNs) {
    throw new Error(`it changed while it was being saved (${entry.sizeBytes} bytes, now ${stats.size})`);
  }
}

/** The names of the users and groups in the ACLs of an entry. */
function aclNames(entry: SelectedEntry, names: AccountNames): Pick<IndexEntry, "aclUsers" | "aclGroups"> {
  const aclUsers = new Map<number, string>();
  const aclGroups = new Map<number, string>();
  for (const [attribute, value] of entry.xattrs) {
    if (!attribute.startsWith("system.posix_acl_")) continue;
    for (const { tag, id } of parseAcl(value)) {
      const name = id === null ? undefined : names[tag === "user" ? "users" : "groups"].nameOf.get(id);
      if (id !== null && name !== undefined) (tag === "user" ? aclUsers : aclGroups).set(id, name);
    }
  }
  return { aclUsers, aclGroups };
}

function toMetadata({ realPath: _realPath, dataBytes: _dataBytes, extentCount: _count, ...metadata }: SelectedEntry) {
  return metadata;
}

async function* nothing(): AsyncGenerator<Buffer> {}

async function failAs<T>(entry: SelectedEntry, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    const path = displayPath(entry.path);
    throw new ReimageError("retain", `cannot save ${path} of the old OS: ${asReimageError(error).message}`, {
      hint: "nothing was written to the target; check the old file system, or take the file off the retention list",
      cause: error,
    });
  }
}
