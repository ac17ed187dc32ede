/** Puts the retained files into the new OS. May be killed at any time and started again: the result is the same. */
import { type FileHandle, link, lstat, open, statfs, unlink } from "node:fs/promises";
import { asReimageError, ReimageError } from "../errors.ts";
import { readFinalAccountNames } from "./accounts.ts";
import type { IndexEntry, RetainedArchive } from "./entry.ts";
import { errnoOf } from "./file-io.ts";
import { hashFile } from "./hashed-file.ts";
import { readIndex } from "./index-file.ts";
import type { AccountNames } from "./names.ts";
import { decodePath, displayPath } from "./path.ts";
import { createFromArchive } from "./restore-content.ts";
import { applyMetadata, applyTimes, readLabel } from "./restore-metadata.ts";
import { type OpenDirectory, openRootedDirectory, type RootedDirectory } from "./rooted.ts";

/** What was restored. `failures` name what the new file systems cannot hold; the content of those files is there. */
export interface RestoreSummary {
  readonly count: number;
  readonly contentBytes: number;
  readonly failures: readonly RestoreFailure[];
}

/** Something about one file that could not be restored. */
export interface RestoreFailure {
  readonly path: string;
  readonly reason: string;
}

/** `onProgress` is called with the bytes of content that were written since its last call. */
export interface RestoreOptions {
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Restores the archive inside the new OS mounted at `newRoot`; no path or symbolic link leads outside it. A file is
 * replaced as a whole (an empty directory in its place too), a directory is merged and gets the retained metadata.
 * Everything is synced on return.
 * @throws ReimageError `restore` at the first file that cannot be restored.
 */
export async function restoreRetained(
  archive: RetainedArchive,
  newRoot: string,
  options: RestoreOptions = {},
): Promise<RestoreSummary> {
  let current = archive.indexPath;
  try {
    if ((await hashFile(archive.indexPath)).sha256 !== archive.indexSha256) {
      throw new Error("the index in RAM no longer holds what was saved");
    }
    await using rooted = await openRootedDirectory(newRoot);
    await using tar = await open(archive.archivePath, "r");
    const names = await readFinalAccountNames(rooted, readIndex(archive.indexPath), tar);
    const restoration = new Restoration(rooted, tar, names, options);
    for await (const entry of readIndex(archive.indexPath)) {
      current = displayPath(entry.restorePath);
      await restoration.restore(entry);
    }
    current = "the directories";
    return await restoration.finish((path) => {
      current = displayPath(path);
    });
  } catch (error) {
    throw restoreError(current, error);
  }
}

class Restoration {
  readonly #rooted: RootedDirectory;
  readonly #tar: FileHandle;
  readonly #names: AccountNames;
  readonly #options: RestoreOptions;
  /** By path and reason: a directory is given its metadata when it is made and again at the end. */
  readonly #failures = new Map<string, RestoreFailure>();
  /** Directories of the old OS above retained files, by the path at which they are made if they are missing. */
  readonly #parents = new Map<string, IndexEntry>();
  /** Retained directories: their metadata is set when everything is in them. */
  readonly #directories: IndexEntry[] = [];
  /** Files that have further names. */
  readonly #linked = new Map<string, IndexEntry>();
  /** Directories in which a name was made. */
  readonly #changed = new Map<string, Buffer>();
  #count = 0;
  #contentBytes = 0;

  constructor(rooted: RootedDirectory, tar: FileHandle, names: AccountNames, options: RestoreOptions) {
    this.#rooted = rooted;
    this.#tar = tar;
    this.#names = names;
    this.#options = options;
  }

  async restore(entry: IndexEntry): Promise<void> {
    if (entry.isParent) {
      this.#parents.set(decodePath(entry.restorePath), entry);
      return;
    }
    await this.#ensureDirectory(directoryOf(entry.restorePath));
    this.#markChanged(directoryOf(entry.restorePath));
    if (entry.type === "directory") await this.#restoreDirectory(entry);
    else if (entry.type === "link") await this.#restoreLink(entry);
    else await this.#restoreFile(entry);
    this.#count += 1;
  }

  async finish(onDirectory: (path: Buffer) => void): Promise<RestoreSummary> {
    for (const entry of this.#directories) {
      onDirectory(entry.restorePath);
      using directory = this.#rooted.openDirectory(entry.restorePath);
      await this.#applyMetadata(directory.path, entry, directory, readLabel(directory.path));
      this.#fail(entry, await applyTimes(directory.path, entry));
      this.#markChanged(entry.restorePath);
    }
    for (const path of this.#changed.values()) {
      onDirectory(path);
      await this.#rooted.syncDirectory(path);
    }
    return { count: this.#count, contentBytes: this.#contentBytes, failures: [...this.#failures.values()] };
  }

  async #restoreFile(entry: IndexEntry): Promise<void> {
    if (entry.linkCount > 1) this.#linked.set(decodePath(entry.path), entry);
    using parent = this.#rooted.openParent(entry.restorePath);
    await this.#rooted.replace(entry.restorePath, async (temporary, existing) => {
      const fallbackLabel = readLabel(existing) ?? readLabel(parent.directory.path); // before it is replaced
      const progress = (bytes: number) => {
        this.#contentBytes += bytes;
        this.#options.onProgress?.(bytes);
      };
      await createFromArchive(temporary, entry, this.#tar, progress, async () => {
        await this.#applyMetadata(temporary, entry, parent.directory, fallbackLabel);
        this.#fail(entry, await applyTimes(temporary, entry));
      });
    });
  }

  async #restoreLink(entry: IndexEntry): Promise<void> {
    const target = entry.linkOf === null ? undefined : this.#linked.get(decodePath(entry.linkOf));
    if (target === undefined) throw new Error("the index lacks the file that it is a hard link of");
    using targetParent = this.#rooted.openParent(target.restorePath);
    try {
      await this.#rooted.replace(entry.restorePath, (temporary) => link(targetParent.path, temporary));
    } catch (error) {
      // Another file system, one that knows no hard links, or too many of them: the content still has a place.
      if (!["EXDEV", "EPERM", "EMLINK", "EOPNOTSUPP"].includes(errnoOf(error) ?? "")) throw error;
      await this.#restoreFile({ ...target, path: entry.path, restorePath: entry.restorePath, linkCount: 1 });
      this.#fail(entry, ["it is a copy: the file system cannot make the hard link"]);
    }
  }

  async #restoreDirectory(entry: IndexEntry): Promise<void> {
    this.#directories.push(entry);
    using parent = this.#rooted.openParent(entry.restorePath);
    try {
      this.#rooted.openDirectory(entry.restorePath)[Symbol.dispose]();
      return; // a symbolic link to a directory is as good
    } catch (error) {
      // A file, or a symbolic link to one or in a circle, makes room. A dangling one is followed, as for parents.
      if (["ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "") && !(await lstat(parent.path)).isDirectory()) {
        await unlink(parent.path);
      } else if (errnoOf(error) !== "ENOENT") throw error;
    }
    this.#parents.set(decodePath(entry.restorePath), entry);
    await this.#ensureDirectory(entry.restorePath);
  }

  /** Makes missing directories as they were in the old OS, or else with the label of the directory that they are in. */
  async #ensureDirectory(path: Buffer): Promise<void> {
    await this.#rooted.ensureDirectory(path, async (temporary, made) => {
      this.#markChanged(directoryOf(made));
      using above = this.#rooted.openDirectory(directoryOf(made));
      const known = this.#parents.get(decodePath(made)) ?? unknownDirectory(made);
      await this.#applyMetadata(temporary, known, above, readLabel(above.path));
    });
    this.#markChanged(path);
  }

  async #applyMetadata(
    path: Buffer,
    entry: IndexEntry,
    directory: OpenDirectory,
    fallbackLabel: Buffer | null,
  ): Promise<void> {
    const fileSystemType = (await statfs(directory.path)).type;
    const context = { names: this.#names, fileSystemType, fallbackLabel };
    this.#fail(entry, await applyMetadata(path, entry, context));
  }

  #markChanged(path: Buffer): void {
    this.#changed.set(decodePath(path), path);
  }

  #fail(entry: IndexEntry, reasons: readonly string[]): void {
    const path = displayPath(entry.restorePath);
    for (const reason of reasons) this.#failures.set(`${path}\0${reason}`, { path, reason });
  }
}

function directoryOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? Buffer.from("/") : path.subarray(0, slash);
}

function unknownDirectory(path: Buffer): IndexEntry {
  return {
    path,
    restorePath: path,
    type: "directory",
    isParent: true,
    mode: 0o755,
    uid: 0,
    gid: 0,
    user: null,
    group: null,
    sizeBytes: 0,
    linkCount: 1,
    device: 0n,
    accessedNs: 0n,
    modifiedNs: 0n,
    xattrs: new Map(),
    aclUsers: new Map(),
    aclGroups: new Map(),
    symlinkTarget: null,
    linkOf: null,
    extents: [],
    archiveOffsetBytes: 0,
    sha256: null,
  };
}

function restoreError(path: string, error: unknown): ReimageError {
  const isFull = errnoOf(error) === "ENOSPC" || errnoOf(error) === "EDQUOT";
  const reason = isFull
    ? "the file system of the new OS is full (ENOSPC)"
    : error instanceof SyntaxError
      ? "the index in RAM cannot be parsed"
      : asReimageError(error).message;
  const advice = isFull
    ? "use an image with a larger file system, or retain less"
    : "correct the cause, or take the file off the retention list";
  return new ReimageError("restore", `cannot restore ${path} in the new OS: ${reason}`, {
    hint: `the disk is partial and does not boot; the image and the retained files are still in RAM: ${advice}`,
    cause: error,
  });
}
