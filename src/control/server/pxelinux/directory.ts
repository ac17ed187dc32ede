/**
 * pxelinux.cfg kept as symbolic links: a projection of the deployments in the database onto a directory that any TFTP server
 * serves. What each machine boots is decided elsewhere; here it is carried out, and read back.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../../errors.ts";
import { syncDirectory } from "../../../system/sync-directory.ts";
import { type PxeDeployment, planDeployments } from "./apply.ts";
import { type ConfigurationFile, readConfigurationFiles } from "./configurations.ts";
import { type PxeEntry, readEntries, switchLinks } from "./links.ts";
import { type OneShot, oneShotName } from "./names.ts";
import { clearCopies, prepareCopy } from "./one-shot-copies.ts";
import { lockDirectory, openPaths, prepareDirectories, readLinkedCopies, unwritable } from "./opening.ts";
import { openReadWatch } from "./watch.ts";

/** How a directory is opened. */
export interface PxelinuxOptions {
  /** What the TFTP server serves; `pxelinux.cfg` lies in it. */
  readonly root: string;
  /** The directory of the configurations, inside `root`. */
  readonly configurationsDir: string;
  /**
   * A machine has read what it was to boot once. Called once a boot; again where the promise is rejected, and again by the
   * next process where this one dies before it has deployed something else: `bootId` tells whether it was counted.
   * Whoever is called deploys what comes next, by `apply`.
   */
  readonly onRead: (read: OneShot) => Promise<void>;
  /** What went wrong in the background; the next attempt follows by itself. */
  readonly onTrouble?: (error: unknown) => void;
  /** How long reads after the first belong to the same boot. */
  readonly retryWindowMs?: number;
  /** How long a server may keep the file open, until the boot counts anyway. */
  readonly longestReadMs?: number;
  /** How long a copy outlives the link to it, for servers that have resolved the link and not yet opened the file. */
  readonly graceMs?: number;
}

export interface PxelinuxDirectory extends AsyncDisposable {
  /** For the log of `serve`: what does not work as it should on this file system. */
  readonly warnings: readonly string[];
  /** The configuration files, with their contents. */
  readConfigurations(): Promise<ConfigurationFile[]>;
  /**
   * Makes the named machines boot what is said, all of them or none; others are left alone. What is so already is not touched.
   * @throws ReimageError `usage` for a bad MAC or one that is named twice, `config` for an unknown configuration or a file in
   * the place of a link, `output` where the directory cannot be written.
   */
  apply(deployments: readonly PxeDeployment[]): Promise<void>;
  /** What each MAC boots now. */
  read(): Promise<PxeEntry[]>;
}

/**
 * Opens the directory, which belongs to this process until it is disposed of: `pxelinux.cfg` is made where it is missing,
 * what a killed process left behind is cleared away, and machines that booted meanwhile are reported.
 * @throws ReimageError `config` for directories that are missing or not inside one another, `state` where another process
 * keeps this one, `output` where it cannot be written.
 */
export async function openPxelinuxDirectory(options: PxelinuxOptions): Promise<PxelinuxDirectory> {
  const { retryWindowMs = 5000, longestReadMs = 30_000, graceMs = 10_000, onTrouble = () => {}, onRead } = options;
  await using stack = new AsyncDisposableStack();
  const paths = await openPaths(options.root, options.configurationsDir);
  stack.use(lockDirectory(paths.links));
  const { recordsReads } = await prepareDirectories(paths);
  const kept = await clearCopies(paths.copies, await readLinkedCopies(paths));

  // Closing goes backwards: no more reports, then what they have asked for is carried out, then the directory is given up.
  const removals = new Map<string, NodeJS.Timeout>();
  stack.defer(() => removals.forEach((timer) => void clearTimeout(timer))); // the next start removes them
  let last: Promise<unknown> = Promise.resolve();
  stack.defer(() => last.then(() => {}));
  const times = { retryWindowMs, longestReadMs };
  const watch = stack.use(await openReadWatch({ directory: paths.copies, recordsReads, onRead, onTrouble, ...times }));
  for (const name of kept) await watch.follow(name);

  /** A copy that no link leads to. */
  function retire(name: string): void {
    watch.forget(name);
    clearTimeout(removals.get(name));
    const remove = () => {
      removals.delete(name);
      try {
        rmSync(join(paths.copies, name), { force: true }); // at once, or it could hit the copy that is made anew
      } catch (error) {
        onTrouble(error);
      }
    };
    removals.set(name, setTimeout(remove, graceMs));
  }

  async function applyNow(deployments: readonly PxeDeployment[]): Promise<void> {
    const plan = await planDeployments(deployments, paths, await readConfigurationFiles(paths.configurations));
    const made: string[] = [];
    try {
      for (const { boot, source } of plan.copies) {
        clearTimeout(removals.get(oneShotName(boot)));
        const { name, isNew } = await prepareCopy(paths.copies, boot, source, watch.wasRead);
        if (isNew) made.push(name);
        await watch.follow(name);
      }
      if (made.length > 0) await syncDirectory(paths.copies);
      if (plan.changes.length > 0) await switchLinks(paths.links, plan.changes);
    } catch (cause) {
      made.forEach(retire);
      throw cause instanceof ReimageError ? cause : unwritable(paths.copies, cause);
    }
    plan.obsolete.forEach(retire);
  }

  const owned = stack.move();
  return {
    warnings: recordsReads ? [] : [noAccessTimes(paths.copies)],
    readConfigurations: () => readConfigurationFiles(paths.configurations),
    apply(deployments) {
      const applied = last.then(() => applyNow(deployments)); // one at a time
      last = applied.catch(() => {});
      return applied;
    },
    read: async () => await readEntries(paths, await readConfigurationFiles(paths.configurations)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function noAccessTimes(directory: string): string {
  return (
    `the file system of ${directory} does not record when a file was read (mounted with noatime?): a machine that boots ` +
    "while `reimage serve` is not running boots its one-shot configuration again; mount it with relatime"
  );
}
