/** Where a file's bytes lie on its file system's device: FS_IOC_FIEMAP (Documentation/filesystems/fiemap.rst). */
import { ioctl } from "../../system/libc.ts";

const FS_IOC_FIEMAP = 0xc020660b;
const SYNC_FLAG = 1;
const headerBytes = 32;
const extentBytes = 56;
const extentsAtOnce = 1024;

/** The flags of an extent. */
export const extentFlags = { last: 0x1, unwritten: 0x800, merged: 0x1000 } as const;
/** Why data with this flag is not simply at its address. */
const troubles: readonly (readonly [number, string])[] = [
  [0x2, "at an unknown address"],
  [0x4, "not allocated yet"],
  [0x8, "encoded"],
  [0x80, "encrypted"],
  [0x100, "not at a block of its own"],
  [0x200, "among the metadata"],
  [0x400, "together with other files' ends"],
  [extentFlags.unwritten, "allocated but not written"],
  [0x2000, "shared with another file"],
];

/** A stretch of a file. */
export interface FileExtent {
  readonly fileOffsetBytes: number;
  /** On the device that holds the file system. */
  readonly deviceOffsetBytes: number;
  readonly sizeBytes: number;
  readonly flags: number;
}

/** All extents of an open file in order, after what is in the page cache was given its blocks. */
export function readFileExtents(fd: number): FileExtent[] {
  const extents: FileExtent[] = [];
  for (let startBytes = 0; ; ) {
    const request = fiemapRequest(startBytes, extentsAtOnce);
    ioctl(fd, FS_IOC_FIEMAP, request, "FS_IOC_FIEMAP");
    const found = parseFiemap(request);
    extents.push(...found);
    const last = found.at(-1);
    if (last === undefined || (last.flags & extentFlags.last) !== 0) return extents;
    startBytes = last.fileOffsetBytes + last.sizeBytes;
  }
}

/** The argument of the ioctl, with room for `count` extents of the file from `startBytes` on (pure). */
export function fiemapRequest(startBytes: number, count: number): Buffer {
  const request = Buffer.alloc(headerBytes + count * extentBytes);
  request.writeBigUInt64LE(BigInt(startBytes), 0);
  request.writeBigUInt64LE((1n << 63n) - 1n - BigInt(startBytes), 8); // to the end of any file
  request.writeUInt32LE(SYNC_FLAG, 16);
  request.writeUInt32LE(count, 24);
  return request;
}

/** Parses the answer, a struct fiemap (pure). */
export function parseFiemap(answer: Buffer): FileExtent[] {
  const count = Math.min(answer.readUInt32LE(20), Math.floor((answer.length - headerBytes) / extentBytes));
  return Array.from({ length: count }, (_, index) => {
    const at = headerBytes + index * extentBytes;
    return {
      fileOffsetBytes: Number(answer.readBigUInt64LE(at)),
      deviceOffsetBytes: Number(answer.readBigUInt64LE(at + 8)),
      sizeBytes: Number(answer.readBigUInt64LE(at + 16)),
      flags: answer.readUInt32LE(at + 40),
    };
  });
}

/**
 * Why the extents' data is not simply at its address, or null (pure). @param allowed further flags that are no trouble
 */
export function findExtentTrouble(extents: readonly FileExtent[], allowed = 0): string | null {
  const known = extentFlags.last | extentFlags.merged | allowed;
  const odd = extents.find(({ flags }) => (flags & ~known) !== 0);
  if (odd === undefined) return null;
  const trouble = troubles.find(([flag]) => (odd.flags & ~known & flag) !== 0);
  return trouble?.[1] ?? `flagged ${(odd.flags & ~known).toString(16)}, which means nothing to this program`;
}
