/** The kernel's file systems that the program needs beyond those of initramfs/init (/proc, /sys, /dev, /run). */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { runCommand } from "../system/commands.ts";

/** A line of the table. */
export interface TableEntry {
  readonly type: string;
  readonly directory: string;
  readonly options: string;
  readonly reason: string;
  /** Only where this path exists. */
  readonly onlyIf?: string;
  /** A failure is reported and does not stop the run. */
  readonly optional?: true;
}

export const mountTable: readonly TableEntry[] = [
  {
    type: "devpts",
    directory: "/dev/pts",
    options: "nosuid,noexec,mode=0620,ptmxmode=0666",
    reason: "terminals for programs that the technician runs",
    optional: true,
  },
  {
    type: "tmpfs",
    directory: "/tmp",
    options: "nosuid,nodev,mode=1777,size=64m",
    reason: "temporary files, with a limit: the RAM is for the image",
  },
  {
    type: "efivarfs",
    directory: "/sys/firmware/efi/efivars",
    options: "nosuid,nodev,noexec",
    reason: "the boot menu in the firmware",
    onlyIf: "/sys/firmware/efi",
    optional: true,
  },
];

/** The lines of the table that have yet to be mounted: `mounts` is the text of /proc/mounts (pure). */
export function entriesToMount(
  table: readonly TableEntry[],
  mounts: string,
  exists: (path: string) => boolean,
): TableEntry[] {
  const mounted = new Set(mounts.split("\n").map((line) => line.split(" ")[1]));
  return table.filter((entry) => !mounted.has(entry.directory) && (entry.onlyIf === undefined || exists(entry.onlyIf)));
}

/**
 * Mounts what the table names and is not mounted yet (after a restart all of it is).
 * @returns the failures of optional entries.
 * @throws ReimageError `command` for any other failure.
 */
export async function mountFromTable(): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const entry of entriesToMount(mountTable, readFileSync("/proc/mounts", "utf8"), existsSync)) {
    try {
      mkdirSync(entry.directory, { recursive: true });
      await runCommand("mount", ["-t", entry.type, "-o", entry.options, entry.type, entry.directory]);
    } catch (error) {
      if (entry.optional === undefined) throw error;
      failures.push(error);
    }
  }
  return failures;
}
