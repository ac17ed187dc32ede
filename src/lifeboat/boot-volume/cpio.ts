/** Archives for the kernel to unpack at boot: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux). Pure. */
import { ReimageError } from "../../errors.ts";

export interface ArchiveFile {
  /** From the root, with or without the first "/". */
  readonly path: string;
  readonly content: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

const DIRECTORY = 0o040755;
const REGULAR_FILE = 0o100000;
/** A further archive may follow at the next multiple; the kernel skips zeros before it. */
const ALIGNMENT_BYTES = 512;

/**
 * An archive of `files` and of the directories above them (mode 755), all root's, without times: the same bytes for the same
 * files. Throws ReimageError for a path that leads outside the root.
 */
export function newcArchive(files: readonly ArchiveFile[]): Buffer {
  const members = new Map<string, { mode: number; content: Uint8Array }>();
  for (const { path, content, mode } of files) {
    const names = path.split("/").filter((name) => name !== "");
    if (names.length === 0 || names.some((name) => name === "." || name === ".." || name.includes("\0"))) {
      throw new ReimageError("bug", `${JSON.stringify(path)} cannot be in an archive`);
    }
    for (let depth = 1; depth < names.length; depth += 1) {
      members.set(names.slice(0, depth).join("/"), { mode: DIRECTORY, content: Buffer.alloc(0) });
    }
    members.set(names.join("/"), { mode: REGULAR_FILE | mode, content });
  }
  // Sorted, a directory comes before what is in it.
  const sorted = [...members].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const parts = sorted.map(([path, { mode, content }], index) => member(path, index + 1, mode, content));
  const archive = Buffer.concat([...parts, member("TRAILER!!!", 0, 0, Buffer.alloc(0))]);
  return Buffer.concat([archive, Buffer.alloc(-archive.length & (ALIGNMENT_BYTES - 1))]);
}

function member(path: string, inode: number, mode: number, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  const links = mode === DIRECTORY ? 2 : 1;
  // inode, mode, uid, gid, links, time, size, device (4 numbers), length of the name, checksum (not in this format)
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(content)]);
}

const padded = (data: Uint8Array): Buffer => Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
