/**
 * The block map of an image: which of its bytes matter, with a digest for each range. In the format of bmaptool
 * (https://docs.yoctoproject.org/bmaptool, "bmap 2.0"), so that either program can use the other's.
 */

/** A stretch of the image that has content. Ranges are in order, and do not overlap; they may touch. */
export interface MappedRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Of the range, in hex. */
  readonly sha256: string;
}

/** Offsets and sizes are whole blocks, but for the end of an image that is not a whole number of blocks. */
export interface BlockMap {
  readonly imageSizeBytes: number;
  readonly blockSizeBytes: number;
  readonly ranges: readonly MappedRange[];
}
