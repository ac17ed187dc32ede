/** Notices when a one-shot copy is read, by whatever server, and reports each boot once. */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { addInotifyWatch, closeFd, openInotify, readAvailable } from "../../../system/libc.ts";
import * as inotify from "./inotify.ts";
import { type OneShot, parseOneShotName } from "./names.ts";
import { wasCopyRead } from "./one-shot-copies.ts";
import { createReadTracker, type ReadTimes } from "./read-tracker.ts";
import { makePublicDirectory } from "./whole-files.ts";

/** How the watch is opened. */
export interface WatchOptions extends ReadTimes {
  readonly directory: string;
  /** Whether the access time of a file tells that it was read. */
  readonly recordsReads: boolean;
  /** A rejection makes it be called again a second later. */
  readonly onRead: (read: OneShot) => Promise<void>;
  readonly onTrouble: (error: unknown) => void;
}

export interface ReadWatch extends AsyncDisposable {
  /** Follows a copy; one that was read before counts at once. */
  follow(name: string): Promise<void>;
  forget(name: string): void;
  wasRead(name: string): boolean;
}

/** Polled, since the event loop offers nothing for such a descriptor; one read(2) that returns at once. */
const POLL_MS = 200;
const RETRY_MS = 1000;

export async function openReadWatch(options: WatchOptions): Promise<ReadWatch> {
  const { directory } = options;
  const tracker = createReadTracker(options);
  const buffer = Buffer.alloc(65_536);
  const reports = new Set<Promise<void>>();
  const fd = openInotify();
  try {
    watchDirectory();
  } catch (error) {
    closeFd(fd);
    throw error;
  }

  function watchDirectory(): void {
    const { IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE, IN_ONLYDIR } = inotify;
    addInotifyWatch(fd, directory, IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE | IN_ONLYDIR);
  }

  /** Looks at the file itself, for what no event has told. */
  async function look(name: string): Promise<void> {
    if (!options.recordsReads) return;
    const stats = await lstat(join(directory, name)).catch(() => null);
    if (stats === null || !wasCopyRead(stats)) return;
    // A read of a moment ago may still be followed by the client's second attempt. Our clock may have been set since.
    const agoMs = Math.min(Math.max(0, Date.now() - stats.atimeMs), options.longestReadMs);
    tracker.read(name, performance.now() - agoMs);
  }

  async function drain(): Promise<void> {
    const toLookAt = new Set<string>();
    for (let bytes = readAvailable(fd, buffer); bytes !== null && bytes > 0; bytes = readAvailable(fd, buffer)) {
      for (const { mask, name } of inotify.parseInotifyEvents(buffer.subarray(0, bytes))) {
        if (mask & inotify.IN_OPEN) tracker.opened(name);
        if (mask & inotify.IN_ACCESS) tracker.read(name, performance.now());
        if (mask & inotify.IN_CLOSE_NOWRITE) {
          tracker.closed(name);
          // A server may map the file into its memory, which is no access that inotify tells of.
          if (tracker.isFollowed(name) && !tracker.wasRead(name)) toLookAt.add(name);
        }
        if (mask & inotify.IN_IGNORED) {
          await makePublicDirectory(directory);
          watchDirectory();
        }
        if (mask & (inotify.IN_Q_OVERFLOW | inotify.IN_IGNORED)) {
          tracker.forgetOpenings();
          for (const each of tracker.names()) toLookAt.add(each);
        }
      }
    }
    for (const name of toLookAt) await look(name);
  }

  async function report(name: string): Promise<void> {
    const read = parseOneShotName(name);
    if (read === null) return;
    try {
      await options.onRead(read);
    } catch (error) {
      options.onTrouble(error);
      tracker.retryAt(name, performance.now() + RETRY_MS);
    }
  }

  async function poll(): Promise<void> {
    try {
      await drain();
    } catch (error) {
      options.onTrouble(error);
    }
    for (const name of tracker.takeDue(performance.now())) {
      const running = report(name).finally(() => reports.delete(running));
      reports.add(running);
    }
  }

  let polling: Promise<void> | null = null;
  const timer = setInterval(() => {
    polling ??= poll().finally(() => {
      polling = null;
    });
  }, POLL_MS);

  return {
    async follow(name) {
      tracker.follow(name);
      await look(name);
    },
    forget: (name) => tracker.forget(name),
    wasRead: (name) => tracker.wasRead(name),
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await polling;
      await Promise.all(reports);
      closeFd(fd);
    },
  };
}
