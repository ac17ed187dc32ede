/** Finds in the old OS what the retention list names. Reads metadata only. */
import type { BigIntStats } from "node:fs";
import { lstat, readdir, realpath, statfs } from "node:fs/promises";
import { asReimageError, ReimageError } from "../errors.ts";
import type { RetainedSelection, SelectedEntry } from "./entry.ts";
import { errnoOf } from "./file-io.ts";
import { kernelFileSystemName } from "./kernel-file-systems.ts";
import type { RetentionRule } from "./list.ts";
import { literalNames, matchName, type RuleState, startStates } from "./matching.ts";
import { decodePath, displayPath, isAtOrBelow, joinPath } from "./path.ts";
import { readEntry, typeOf } from "./read-entry.ts";
import { openRootedDirectory, type RootedDirectory } from "./rooted.ts";
import { summarizeSelection } from "./selection.ts";

export type { RetainedSelection } from "./entry.ts";

/** A directory that is being walked. */
interface Frame {
  readonly path: Buffer;
  readonly realPath: Buffer;
  readonly stats: BigIntStats;
  readonly states: readonly RuleState[];
  /** A rule names it or a directory above: everything below is retained. */
  readonly isRetained: boolean;
  readonly parent: Frame | null;
  /** Whether the entries hold it already. */
  isRecorded: boolean;
}

/**
 * Selects the files that `rules` name in the old OS mounted at `root`, with further file systems mounted below it.
 * Symbolic links are retained as links. Where a listed path leads through one, it is followed inside the root, and the
 * file is retained under the listed path: that is where the programs of the new OS will look for it.
 * @throws ReimageError `required-file`, `retention-list` (two files would be restored to one path), `retain`.
 */
export async function selectRetained(root: string, rules: readonly RetentionRule[]): Promise<RetainedSelection> {
  const realRoot = await realpath(root, { encoding: "buffer" });
  await using rooted = await openRootedDirectory(root);
  const walk = new Walk(realRoot.length === 1 ? Buffer.alloc(0) : realRoot, rooted, rules);
  await walk.run();
  return summarizeSelection(walk.entries, rules, walk.matched, walk.warnings);
}

class Walk {
  readonly entries: SelectedEntry[] = [];
  readonly matched = new Set<RetentionRule>();
  readonly warnings: string[] = [];
  readonly #root: Buffer;
  readonly #rooted: RootedDirectory;
  readonly #rules: readonly RetentionRule[];
  readonly #excludes: readonly RegExp[];
  readonly #moves: readonly { readonly oldPath: Buffer; readonly newPath: Buffer }[];
  readonly #firstNames = new Map<string, Buffer>();

  constructor(root: Buffer, rooted: RootedDirectory, rules: readonly RetentionRule[]) {
    this.#root = root;
    this.#rooted = rooted;
    this.#rules = rules;
    this.#excludes = rules.filter((rule) => rule.kind === "exclude").map((rule) => rule.pattern.covers);
    // The longest first: a move inside a directory that moves too wins.
    this.#moves = rules.filter((rule) => rule.kind === "move").toSorted((a, b) => b.oldPath.length - a.oldPath.length);
  }

  async run(): Promise<void> {
    const path = Buffer.from("/");
    const stats = await lstat(joinPath(this.#root, "."), { bigint: true });
    const states = startStates(this.#rules);
    await this.#visit({ path, realPath: path, stats, states, isRetained: false, parent: null, isRecorded: true });
  }

  async #visit(frame: Frame): Promise<void> {
    const known = frame.isRetained ? null : literalNames(frame.states);
    const names = known ?? (await this.#readNames(frame));
    for (const name of names.toSorted(Buffer.compare)) {
      try {
        await this.#visitName(frame, name);
      } catch (error) {
        if (error instanceof ReimageError) throw error;
        throw readError(joinPath(frame.path, name), error);
      }
    }
  }

  async #readNames(frame: Frame): Promise<Buffer[]> {
    try {
      return await readdir(this.#absolute(frame.realPath), { encoding: "buffer" });
    } catch (error) {
      throw readError(frame.path, error);
    }
  }

  async #visitName(frame: Frame, name: Buffer): Promise<void> {
    const path = joinPath(frame.path, name);
    const realPath = joinPath(frame.realPath, name);
    if (this.#isExcluded(path) || (!realPath.equals(path) && this.#isExcluded(realPath))) return;
    const { completed, below, belowLink } = matchName(frame.states, name, decodePath(name));
    const isRetained = frame.isRetained || completed.length > 0;
    if (!isRetained && below.length === 0) return;
    const stats = await this.#lstat(realPath);
    if (stats === null || (await this.#isKernelInterface(frame, path, realPath, stats))) return;
    const isRecorded = isRetained && (await this.#record(frame, path, realPath, stats));
    if (isRecorded) for (const rule of completed) this.matched.add(rule);
    if (stats.isDirectory()) {
      await this.#visit({ path, realPath, stats, states: below, isRetained, parent: frame, isRecorded });
    } else if (stats.isSymbolicLink()) {
      await this.#visitLink(frame, path, belowLink, isRecorded, completed.length > 0);
    }
  }

  async #visitLink(
    parent: Frame,
    path: Buffer,
    states: readonly RuleState[],
    isRecorded: boolean,
    isListed: boolean,
  ): Promise<void> {
    if (states.length === 0 && !isListed) return;
    const realPath = await this.#resolve(path);
    const stats = realPath === null ? null : await this.#lstat(realPath);
    if (realPath === null || stats?.isDirectory() !== true) return;
    if (isListed && !this.#rules.some((r) => r.kind !== "exclude" && r.pattern.covers.test(decodePath(realPath)))) {
      const [link, target] = [displayPath(path), displayPath(realPath)];
      this.warnings.push(`${link} is a symbolic link to the directory ${target}, which is not on the retention list`);
    }
    if (states.length === 0) return;
    if (await this.#isKernelInterface(parent, path, realPath, stats)) return;
    await this.#visit({ path, realPath, stats, states, isRetained: false, parent, isRecorded });
  }

  /** A link that leads nowhere, or in a circle, leads to no file that could be retained. */
  async #resolve(path: Buffer): Promise<Buffer | null> {
    try {
      return await this.#rooted.resolve(path);
    } catch (error) {
      if (["ELOOP", "ENOTDIR"].includes(errnoOf(error) ?? "")) return null;
      throw error;
    }
  }

  /** Adds an entry, and those of the directories above that are not there yet. False for what cannot be retained. */
  async #record(frame: Frame, path: Buffer, realPath: Buffer, stats: BigIntStats): Promise<boolean> {
    const type = typeOf(stats);
    if (type === null) {
      this.warnings.push(`${displayPath(path)} is a socket and is not retained`);
      return false;
    }
    await this.#recordParents(frame);
    let linkOf: Buffer | null = null;
    if (!stats.isDirectory() && stats.nlink > 1n) {
      const inode = `${stats.dev}:${stats.ino}`;
      linkOf = this.#firstNames.get(inode) ?? null;
      if (linkOf === null) this.#firstNames.set(inode, path);
    }
    const place = { path, realPath, restorePath: this.#movedPath(path), isParent: false, linkOf };
    this.entries.push(await readEntry(this.#absolute(realPath), stats, type, place));
    return true;
  }

  async #recordParents(frame: Frame): Promise<void> {
    if (frame.isRecorded || frame.parent === null) return;
    await this.#recordParents(frame.parent);
    const { path, realPath, stats } = frame;
    const place = { path, realPath, restorePath: this.#movedPath(path), isParent: true, linkOf: null };
    this.entries.push(await readEntry(this.#absolute(realPath), stats, "directory", place));
    frame.isRecorded = true;
  }

  #movedPath(path: Buffer): Buffer {
    const move = this.#moves.find(({ oldPath }) => isAtOrBelow(path, oldPath));
    return move === undefined ? path : Buffer.concat([move.newPath, path.subarray(move.oldPath.length)]);
  }

  #isExcluded(path: Buffer): boolean {
    return this.#excludes.length > 0 && this.#excludes.some((covers) => covers.test(decodePath(path)));
  }

  async #isKernelInterface(parent: Frame, path: Buffer, realPath: Buffer, stats: BigIntStats): Promise<boolean> {
    if (!stats.isDirectory() || stats.dev === parent.stats.dev) return false;
    const name = kernelFileSystemName((await statfs(this.#absolute(realPath))).type);
    if (name !== null) this.warnings.push(`${displayPath(path)} is a ${name} file system and is not retained`);
    return name !== null;
  }

  async #lstat(realPath: Buffer): Promise<BigIntStats | null> {
    try {
      return await lstat(this.#absolute(realPath), { bigint: true });
    } catch (error) {
      if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(errnoOf(error) ?? "")) return null;
      throw error;
    }
  }

  #absolute(realPath: Buffer): Buffer {
    return Buffer.concat([this.#root, realPath]);
  }
}

function readError(path: Buffer, error: unknown): ReimageError {
  return new ReimageError(
    "retain",
    `cannot read ${displayPath(path)} in the old OS: ${asReimageError(error).message}`,
    {
      hint: "nothing was written; check the old file system, or take the file off the retention list",
      cause: error,
    },
  );
}
