/**
 * The commands that reimage runs: the one list. The initramfs is packed from it, the program checks it at start, and
 * `ToolName` makes a call to anything else a compile error. Each entry says why it is there.
 */

/** A command, where it comes from, and why. `optional` ones are checked where they are used, not at start. */
export interface Tool {
  readonly name: string;
  /** The Debian package that holds it. */
  readonly package: string;
  readonly reason: string;
  readonly optional?: true;
}

export const tools = [
  { name: "mount", package: "mount", reason: "mounts the old and the new file systems" },
  { name: "umount", package: "mount", reason: "takes them away again" },
  {
    name: "blkid",
    package: "util-linux",
    reason: "finds file systems by label and UUID, and names what a partition holds",
  },
  { name: "lbzip2", package: "lbzip2", reason: "decodes bz2 on all cores", optional: true },
  { name: "gzip", package: "gzip", reason: "decodes gz", optional: true },
  { name: "xz", package: "xz-utils", reason: "decodes xz", optional: true },
  { name: "zstd", package: "zstd", reason: "decodes zst", optional: true },
  {
    name: "modprobe",
    package: "kmod",
    reason: "loads drivers by modalias, and serves the kernel's own requests",
    optional: true,
  },
  { name: "lvm", package: "lvm2", reason: "activates the volume group that holds the old root", optional: true },
  {
    name: "dmsetup",
    package: "dmsetup",
    reason: "shows and removes device-mapper holders, from the rescue shell",
    optional: true,
  },
  { name: "lsblk", package: "util-linux", reason: "shows the disks, from the rescue shell", optional: true },
  {
    name: "blockdev",
    package: "util-linux",
    reason: "read-only flags and rereads by hand, from the rescue shell",
    optional: true,
  },
  {
    name: "addpart",
    package: "util-linux",
    reason: "makes a partition known by hand, from the rescue shell",
    optional: true,
  },
  { name: "e2fsck", package: "e2fsprogs", reason: "repairs ext4, from the rescue shell", optional: true },
  { name: "xfs_repair", package: "xfsprogs", reason: "repairs xfs, from the rescue shell", optional: true },
  { name: "busybox", package: "busybox-static", reason: "the bootstrap's shell and the rescue shell", optional: true },
] as const satisfies readonly Tool[];

/** Commands for `reimage pack` on the build host alone; the initramfs does without them. */
export const buildHostTools = [
  { name: "bzip2", package: "bzip2", reason: "packs bz2 where lbzip2 is not installed", optional: true },
] as const satisfies readonly Tool[];

/** The name of a command in the lists. */
export type ToolName = (typeof tools)[number]["name"] | (typeof buildHostTools)[number]["name"];
