/** Compresses segments, each to a frame or stream that can be decoded by itself; all of them in a row are one whole file. */
import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { ReimageError } from "../errors.ts";
import { filterBytes, hasTool } from "../system/commands.ts";

/** The formats that images are packed in. */
export type PackedFormat = "zst" | "bz2";

/** The levels that there are, and which one is taken where nobody says. */
export const levels: Readonly<Record<PackedFormat, { least: number; most: number; usual: number }>> = {
  zst: { least: 1, most: 22, usual: 19 },
  bz2: { least: 1, most: 9, usual: 9 },
};

/** zstd takes about 100 MB at level 19 for each segment that is being packed; beyond this many it is not worth it. */
export const parallelSegments = Math.min(availableParallelism(), 8);

/** Packs one segment. `data` must stay as it is until the promise settles. */
export type Compress = (data: Buffer) => Promise<Buffer>;

/** @throws ReimageError `command` where the program that compresses is not installed. */
export function createCompressor(format: PackedFormat, level: number): Compress {
  if (format === "zst") return (data) => compressZst(data, level);
  const tool = hasTool("lbzip2") ? "lbzip2" : "bzip2";
  if (!hasTool(tool)) {
    throw new ReimageError("command", "neither lbzip2 nor bzip2 is installed", {
      hint: "install lbzip2, or pack the image as zst, which needs no program",
    });
  }
  const args = ["-z", "-c", `-${level}`, ...(tool === "lbzip2" ? ["-n1"] : [])];
  return async (data) => {
    const { buffer, byteOffset, byteLength } = await filterBytes(tool, args, data);
    return Buffer.from(buffer, byteOffset, byteLength);
  };
}

const compressOnThread = promisify(zstdCompress);

/** One frame with the size of its content and a checksum (RFC 8878, section 3.1.1). Runs on another thread. */
async function compressZst(data: Buffer, level: number): Promise<Buffer> {
  return await compressOnThread(data, {
    chunkSize: 1 << 20,
    pledgedSrcSize: data.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_contentSizeFlag]: 1,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}
