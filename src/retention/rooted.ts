/**
 * Files inside a root file system that is not ours: no `..` and no symbolic link, absolute or relative, leads outside
 * of it. `openPathInRoot` opens the directory, `/proc/self/fd/N/name` names what is in it.
 */
import { constants } from "node:fs";
import { open, readFile, readlink, stat } from "node:fs/promises";
import { closeFd } from "../system/libc.ts";
import { errnoOf, writeFully } from "./file-io.ts";
import { openPathInRoot } from "./open-in-root.ts";
import { displayPath, joinPath, splitPath } from "./path.ts";
import { makeDirectory, replaceEntry, TEMPORARY_NAME, tryLstat } from "./temporary.ts";

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const MAX_SYMLINKS = 40; // as the kernel
const MAX_ATTEMPTS = 1000;

/** A directory that stays open: `path` names it, `entry(name)` something in it, whatever is renamed meanwhile. */
export interface OpenDirectory extends Disposable {
  readonly path: Buffer;
  entry(name: Buffer | string): Buffer;
}

/** The directory that holds a file, and the file in it. */
export interface OpenParent extends Disposable {
  readonly directory: OpenDirectory;
  /** The file itself, for calls that do not follow a symbolic link at its place. */
  readonly path: Buffer;
}

/** Called for each directory that `ensureDirectory` makes, before it appears at `path`. */
export type PrepareDirectory = (temporary: Buffer, path: Buffer) => Promise<void>;

/** A root file system. All paths are absolute paths inside it. */
export interface RootedDirectory extends AsyncDisposable {
  /** Opens a directory; symbolic links are followed inside the root. */
  openDirectory(path: Buffer | string): OpenDirectory;
  /** Opens the directory that `path` lies in. Throws where the last name is `..` or missing. */
  openParent(path: Buffer | string): OpenParent;
  /** Where `path` really is, with every symbolic link resolved inside the root; null where nothing is there. */
  resolve(path: Buffer | string): Promise<Buffer | null>;
  /** Makes a directory and its parents (mode 0755) where they are missing, also behind a dangling symbolic link. */
  ensureDirectory(path: Buffer | string, prepare?: PrepareDirectory): Promise<void>;
  /** The content of a regular file, or null where nothing is there. */
  readFile(path: Buffer | string): Promise<Buffer | null>;
  /** Writes a file: whole and synced, or not at all. Missing parents are made. A symbolic link is replaced. */
  writeFile(path: Buffer | string, data: Buffer | string, mode?: number): Promise<void>;
  /** Copies a file from outside to `path`, as `writeFile` does. */
  copyIn(path: Buffer | string, sourceFile: string, mode?: number): Promise<void>;
  /** Puts what `create` makes at the temporary path in the place of `path`, which may exist (an empty directory too). */
  replace(path: Buffer | string, create: (temporary: Buffer, existing: Buffer) => Promise<void>): Promise<void>;
  /** fsync(2) of a directory. */
  syncDirectory(path: Buffer | string): Promise<void>;
}

/**
 * Opens the root file system mounted at `root`.
 * @throws Error where `/` and `/..` inside it would not be itself: then nothing may be written, for it would be written
 * to the system that reimage runs on.
 */
export async function openRootedDirectory(root: string): Promise<RootedDirectory> {
  const handle = await open(root, O_PATH | O_CLOEXEC | constants.O_DIRECTORY);
  const rooted = new RootedFileSystem(handle);
  try {
    const itself = await stat(`/proc/self/fd/${handle.fd}`, { bigint: true });
    for (const path of ["/", "/.."]) {
      using directory = rooted.openDirectory(path);
      const found = await stat(directory.path, { bigint: true });
      if (found.dev !== itself.dev || found.ino !== itself.ino) throw new Error(`${path} leads out of ${root}`);
    }
    return rooted;
  } catch (error) {
    await rooted[Symbol.asyncDispose]();
    throw error;
  }
}

class RootedFileSystem implements RootedDirectory {
  readonly #root: Awaited<ReturnType<typeof open>>;

  constructor(root: Awaited<ReturnType<typeof open>>) {
    this.#root = root;
  }

  openDirectory(path: Buffer | string): OpenDirectory {
    const fd = this.#open(path, constants.O_DIRECTORY);
    const directory = Buffer.from(`/proc/self/fd/${fd}`);
    return {
      path: joinPath(directory, "."), // with a name behind it, calls that do not follow links see the directory
      entry: (name) => joinPath(directory, name),
      [Symbol.dispose]: () => closeFd(fd),
    };
  }

  openParent(path: Buffer | string): OpenParent {
    const { parent, name } = splitLast(path);
    const directory = this.openDirectory(parent);
    return { directory, path: directory.entry(name), [Symbol.dispose]: () => directory[Symbol.dispose]() };
  }

  async resolve(path: Buffer | string): Promise<Buffer | null> {
    const fd = this.#tryOpen(path);
    if (fd === null) return null;
    try {
      const rootPath = await readlink(`/proc/self/fd/${this.#root.fd}`, { encoding: "buffer" });
      const realPath = await readlink(`/proc/self/fd/${fd}`, { encoding: "buffer" });
      const inside = rootPath.length === 1 ? realPath : realPath.subarray(rootPath.length);
      return inside.length === 0 ? Buffer.from("/") : inside;
    } finally {
      closeFd(fd);
    }
  }

  async ensureDirectory(path: Buffer | string, prepare?: PrepareDirectory): Promise<void> {
    await this.#ensure(Buffer.from(path), prepare, MAX_SYMLINKS);
  }

  async #ensure(path: Buffer, prepare: PrepareDirectory | undefined, linksLeft: number): Promise<void> {
    let prefix: Buffer = Buffer.alloc(0);
    for (const name of splitPath(path)) {
      prefix = joinPath(prefix, name);
      const fd = this.#tryOpen(prefix, constants.O_DIRECTORY);
      if (fd !== null) {
        closeFd(fd);
        continue;
      }
      using parent = this.openParent(prefix);
      if ((await tryLstat(parent.path)) === null) {
        await makeDirectory(parent.directory.entry(TEMPORARY_NAME), parent.path, (temporary) =>
          prepare?.(temporary, prefix),
        );
        continue;
      }
      // Something is there and yet cannot be opened: a symbolic link whose target is missing.
      if (linksLeft === 0) throw new Error(`${displayPath(prefix)}: too many symbolic links`);
      const target = await readlink(parent.path, { encoding: "buffer" });
      const base = (await this.resolve(splitLast(prefix).parent)) ?? Buffer.from("/");
      await this.#ensure(target[0] === 0x2f ? target : joinPath(base, target), prepare, linksLeft - 1);
    }
  }

  async readFile(path: Buffer | string): Promise<Buffer | null> {
    const fd = this.#tryOpen(path);
    if (fd === null) return null;
    try {
      // O_PATH first: opening a FIFO or a device for reading would block or have effects.
      if (!(await stat(`/proc/self/fd/${fd}`)).isFile()) throw new Error(`${displayPath(path)} is not a regular file`);
      return await readFile(`/proc/self/fd/${fd}`);
    } finally {
      closeFd(fd);
    }
  }

  async writeFile(path: Buffer | string, data: Buffer | string, mode = 0o644): Promise<void> {
    await this.#writeChunks(path, [Buffer.from(data)], mode);
  }

  async copyIn(path: Buffer | string, sourceFile: string, mode = 0o644): Promise<void> {
    const source = await open(sourceFile);
    try {
      await this.#writeChunks(path, source.createReadStream({ autoClose: false }), mode);
    } finally {
      await source.close();
    }
  }

  async #writeChunks(
    path: Buffer | string,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    mode: number,
  ): Promise<void> {
    const { parent } = splitLast(path);
    const madeIn: Buffer[] = [];
    await this.ensureDirectory(parent, async (_temporary, made) => {
      madeIn.push(splitLast(made).parent);
    });
    await this.replace(path, async (temporary) => {
      const file = await open(temporary, "wx", 0o600);
      try {
        let offsetBytes = 0;
        for await (const chunk of chunks) {
          await writeFully(file, chunk, offsetBytes);
          offsetBytes += chunk.length;
        }
        await file.chmod(mode);
        await file.sync();
      } finally {
        await file.close();
      }
    });
    for (const directory of [parent, ...madeIn]) await this.syncDirectory(directory);
  }

  async replace(path: Buffer | string, create: (temporary: Buffer, existing: Buffer) => Promise<void>): Promise<void> {
    using parent = this.openParent(path);
    await replaceEntry(parent.directory.entry(TEMPORARY_NAME), parent.path, create);
  }

  async syncDirectory(path: Buffer | string): Promise<void> {
    using directory = this.openDirectory(path);
    const handle = await open(directory.path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  #tryOpen(path: Buffer | string, flags = 0): number | null {
    try {
      return this.#open(path, flags);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return null;
      throw error;
    }
  }

  #open(path: Buffer | string, flags: number): number {
    for (let attemptsLeft = MAX_ATTEMPTS; ; attemptsLeft--) {
      try {
        return openPathInRoot(this.#root.fd, path, flags);
      } catch (error) {
        // A rename or mount anywhere in the system during the lookup of a `..`; openat2(2) says: try again.
        if (errnoOf(error) !== "EAGAIN" || attemptsLeft === 0) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close();
  }
}

function splitLast(path: Buffer | string): { parent: Buffer; name: Buffer } {
  const names = splitPath(Buffer.from(path));
  const name = names.pop();
  if (name === undefined || name.toString("latin1") === "..") {
    throw new Error(`${displayPath(path)} does not name a file in a directory`);
  }
  return { parent: names.reduce((parent, n) => joinPath(parent, n), Buffer.from("/")), name };
}
