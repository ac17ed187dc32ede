/** What is known about a retained file: facts, read once from the old OS and kept until the file is restored. */

export type FileType =
  | "file"
  | "directory"
  | "symlink"
  | "link" // a further name of an entry that came before
  | "fifo"
  | "character-device"
  | "block-device";

/** A range of a file that holds data; what lies between extents is a hole. */
export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Everything about a file but its content. Paths are absolute paths inside the root. */
export interface FileMetadata {
  /** Where the retention list finds it. */
  readonly path: Buffer;
  /** Where it goes in the new OS: `path`, unless a `@move` says otherwise. */
  readonly restorePath: Buffer;
  readonly type: FileType;
  /** Not retained itself: a directory above retained files, kept for the case that the new OS lacks it. */
  readonly isParent: boolean;
  /** Permissions with suid, sgid and sticky bit. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Length of a regular file with its holes, else 0. */
  readonly sizeBytes: number;
  /** Number of names that the file has in the old OS. */
  readonly linkCount: number;
  /** dev_t of a device node, else 0. */
  readonly device: bigint;
  readonly accessedNs: bigint;
  readonly modifiedNs: bigint;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly symlinkTarget: Buffer | null;
  /** For type `link`: the path of the entry that it is another name of. */
  readonly linkOf: Buffer | null;
}

/** A file of the old OS that will be retained. */
export interface SelectedEntry extends FileMetadata {
  /** `path` with the symbolic links in its directories resolved, inside the old root. */
  readonly realPath: Buffer;
  /** Bytes that the archive will store: the file without its holes. */
  readonly dataBytes: number;
  /** Number of extents of a sparse file, else 1 or 0. */
  readonly extentCount: number;
}

/** What the retention list selects in an old OS. */
export interface RetainedSelection {
  /** Sorted: parents before what is in them. */
  readonly entries: readonly SelectedEntry[];
  /** Lines that matched nothing. */
  readonly missing: readonly string[];
  readonly warnings: readonly string[];
  /** Number of retained files and directories (without the entries that are only parents). */
  readonly count: number;
  /** Sum of `dataBytes`. */
  readonly contentBytes: number;
  /** Upper estimate of the RAM that archive and index take: content, headers and metadata. */
  readonly totalBytes: number;
}

/** One line of the index: all that restoring needs beside the bytes in the archive. */
export interface IndexEntry extends FileMetadata {
  readonly user: string | null;
  readonly group: string | null;
  /** Names of the users and groups that the ACLs speak of, as far as the old OS has one. */
  readonly aclUsers: ReadonlyMap<number, string>;
  readonly aclGroups: ReadonlyMap<number, string>;
  /** The data of a regular file, in order; one extent over the whole length where there is no hole. */
  readonly extents: readonly Extent[];
  /** Where the bytes of the first extent are in the archive; those of the others follow without a gap. */
  readonly archiveOffsetBytes: number;
  /** Digest of the bytes of all extents, one after the other; null where the entry has no content. */
  readonly sha256: string | null;
}

/** A finished archive. Plain data: it is kept across a crash. */
export interface RetainedArchive {
  readonly archivePath: string;
  readonly indexPath: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly indexSha256: string;
  readonly count: number;
  readonly contentBytes: number;
  readonly missing: readonly string[];
}
