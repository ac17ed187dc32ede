/** What a partition table says, whatever its kind. */

/** One partition, numbered as Linux numbers it. */
export interface Partition {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly kind: "primary" | "extended" | "logical" | "gpt";
  /** MBR: the type byte as two hex digits ("83"); GPT: the type GUID in lower case. */
  readonly type: string;
  /** PARTUUID as blkid prints it: the GUID, or `<disk signature>-<number>` in hex. */
  readonly uuid: string;
  /** PARTLABEL; null where there is none (always so in an MBR). */
  readonly name: string | null;
}

/** A valid partition table with at least one partition. */
export interface PartitionTable {
  readonly type: "mbr" | "gpt";
  readonly sectorSizeBytes: number;
  /** MBR: the disk signature as 8 hex digits; GPT: the disk GUID in lower case. */
  readonly diskId: string;
  readonly partitions: readonly Partition[];
  /** The first byte behind the last partition. A GPT's backup is not counted: it moves to the end of the disk. */
  readonly lastUsedByteEnd: number;
}

/** A table; or the first range of bytes that is needed and not there yet; or why there is no valid table. */
export type ParsedTable =
  | { readonly kind: "table"; readonly table: PartitionTable }
  | { readonly kind: "missing"; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Returns `lengthBytes` bytes of the image at `offsetBytes`, or null where they have not been captured yet. Bytes
 * behind the end of the image may be returned as zeros: nothing valid is made of zeros.
 */
export type ReadBytes = (offsetBytes: number, lengthBytes: number) => Buffer | null;
