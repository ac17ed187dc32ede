/** Turns an image file of any format into the raw bytes of the disk. */
import { availableParallelism } from "node:os";
import type { ToolName } from "../../initramfs/tools.ts";
import { ReimageError } from "../errors.ts";
import { type Filter, hasTool, startFilter } from "../system/commands.ts";
import { decodeBuiltIn } from "./built-in-decoder.ts";
import type { ImageFormat } from "./formats.ts";
import { decodeBz2 } from "./unbzip2.ts";

/** lbzip2 takes memory for every thread, up to this when its reader is slow; four keep the whole run below 200 MB. */
const memoryPerThreadBytes = 24 << 20;
const decoderThreads = Math.min(availableParallelism(), 4);

const xzMemoryBytes = 80 << 20;

const commands: Record<Exclude<ImageFormat, "raw">, { tool: ToolName; args: readonly string[] }> = {
  bz2: { tool: "lbzip2", args: ["-dc", `-n${decoderThreads}`] },
  gz: { tool: "gzip", args: ["-dc"] },
  // Of itself xz takes whatever the file asks for, up to 4 GiB; `xz -9` asks for 65 MiB.
  xz: { tool: "xz", args: ["-dc", "-T1", `--memlimit-decompress=${xzMemoryBytes}`] },
  zst: { tool: "zstd", args: ["-dc", "-q"] },
};

/** What a decoder takes at most: lbzip2 for each thread; zstd for the largest window it accepts by default; xz for what it is allowed. */
export const decoderMemoryBytes: Readonly<Record<ImageFormat, number>> = {
  bz2: memoryPerThreadBytes * decoderThreads,
  gz: 8 << 20,
  xz: xzMemoryBytes,
  zst: 144 << 20,
  raw: 0,
};

/** What is done with `format` here, for the log. */
export function decoderName(format: ImageFormat): string {
  if (format === "raw") return "as it is";
  const { tool } = commands[format];
  if (hasTool(tool)) return `decoded by ${tool}`;
  return `decoded by ${format === "bz2" ? "unbzip2-stream" : "zlib"}`;
}

/**
 * Starts decoding `input`: with the format's own command, or, where that is not there, within this program (not xz). `read` of
 * what is returned fills its buffer, and returns less only where the input was decoded to its end and all was well.
 * @throws ReimageError `image` where no decoder for the format is packed.
 */
export function openDecoder(format: ImageFormat, input: AsyncIterable<Uint8Array>, name: string): Filter {
  if (format === "raw") return readPieces(input);
  const { tool, args } = commands[format];
  const copyAgain = "copy the image again and compare its size and digest with the original";
  const hint =
    format === "xz" ? `${copyAgain}; where its memory is what is wrong, pack it with xz -9 or less` : copyAgain;
  if (hasTool(tool)) return startFilter(tool, args, input, { code: "image", hint });
  if (format === "bz2") return readPieces(decodeBz2(input, name));
  if (format !== "xz") return readPieces(decodeBuiltIn(format, input, name));
  throw new ReimageError("image", `image ${name} is ${format}, and ${tool}, which decodes it, is not here`, {
    hint: `add ${tool} to this system or initramfs, or pack the image as bz2, gz or zst, which can always be decoded`,
  });
}

/** Pieces of any size, as something that fills buffers. */
function readPieces(pieces: AsyncIterable<Uint8Array>): Filter {
  const iterator = pieces[Symbol.asyncIterator]();
  let piece: Uint8Array = new Uint8Array();
  return {
    async read(buffer) {
      let filledBytes = 0;
      while (filledBytes < buffer.length) {
        if (piece.length === 0) {
          const next = await iterator.next();
          if (next.done === true) break;
          piece = next.value;
        }
        const part = piece.subarray(0, buffer.length - filledBytes);
        buffer.set(part, filledBytes);
        filledBytes += part.length;
        piece = piece.subarray(part.length);
      }
      return filledBytes;
    },
    async [Symbol.asyncDispose]() {
      await iterator.return?.();
    },
  };
}
