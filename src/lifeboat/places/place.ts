/** What a place for the lifeboat is: regions of the target disk that the old OS does not use and the new image does not write. */
import type { Disk } from "../../disk/disk.ts";
import type { PartitionTable } from "../../disk/partition-table.ts";
import type { Region } from "../../image/regions.ts";
import type { DiskIdentity } from "../../report/events.ts";

/** `gap`: in no partition; `swap`: a swap partition, taken over; `file`: in a file on a mounted old file system. */
export type PlaceKind = "gap" | "swap" | "file";

export interface PlaceNeeds {
  /** In one piece, from a multiple of 1 MiB on. */
  readonly bootBytes: number;
  /** The rest, in up to 32 pieces. */
  readonly bulkBytes: number;
}

export interface PlaceRequest {
  readonly disk: Disk;
  /** The one that is on the disk now. */
  readonly table: PartitionTable;
  /** What the new image writes. */
  readonly forbidden: readonly Region[];
  readonly needs: PlaceNeeds;
  /** Tries this kind alone. */
  readonly only?: PlaceKind;
}

interface UndoFacts {
  readonly disk: DiskIdentity;
  readonly boot: Region;
  readonly bulk: readonly Region[];
}

export interface GapUndo extends UndoFacts {
  readonly kind: "gap";
}

export interface SwapUndo extends UndoFacts {
  readonly kind: "swap";
  readonly partition: Region;
  /** The first 4 KiB of the partition, in base64: by them it is known as swap space. */
  readonly firstPage: string;
  /** Whether the old OS was using it. */
  readonly wasOn: boolean;
  /** Null where the kernel chose it. */
  readonly priority: number | null;
}

export interface FileUndo extends UndoFacts {
  readonly kind: "file";
  readonly path: string;
  readonly inode: number;
  /** The mount point of the file system, and its UUID as blkid prints it. */
  readonly mountPoint: string;
  readonly fileSystemUuid: string | null;
}

/** What it takes to give a place back: plain JSON, for another process, after a reboot too. */
export type PlaceUndo = GapUndo | SwapUndo | FileUndo;

/**
 * A place that is ours. Disposing gives everything back, unless `keep()` was called.
 *
 * The order: write everything; `sync()`; store `undo` where a later process finds it; `seal()`; `keep()`; switch. A power cut
 * before `seal()` leaves an old OS that lacks nothing; from `seal()` on `releasePlace(undo)` is needed.
 */
export interface ClaimedPlace extends AsyncDisposable {
  readonly kind: PlaceKind;
  /** What it is, for the operator: `the swap partition /dev/sda2`. */
  readonly description: string;
  /** Absolute byte regions of the disk; `boot` has exactly `bootBytes`, rounded up to 4 KiB. `bulk` is in order of the disk. */
  readonly boot: Region;
  readonly bulk: readonly Region[];
  readonly undo: PlaceUndo;
  /**
   * Writes whole 4 KiB at an absolute byte of the disk, a multiple of 4 KiB, inside `boot` or `bulk`.
   * @throws ReimageError `bug` outside of them, `device-io` or `lifeboat` where the write fails.
   */
  writeAt(data: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * What was written is on the disk, and at its address, when this returns.
   * @throws ReimageError `lifeboat` where it has moved, `device-io`.
   */
  sync(): Promise<void>;
  /** Keeps the old OS from using it again, after a reboot too. Nothing can be written by `writeAt` after it. */
  seal(): Promise<void>;
  keep(): void;
}

/** A claim, or why this kind of place will not do, a line for each candidate. */
export type Attempt = { readonly place: ClaimedPlace } | { readonly refusals: readonly string[] };
