/** Turns an image file of any format into the raw bytes of the disk. */
import { createReadStream } from "node:fs";
import { availableParallelism } from "node:os";
import type { ToolName } from "../../initramfs/tools.ts";
import { asReimageError, ReimageError } from "../errors.ts";
import { type Filter, hasTool, startFilter } from "../system/commands.ts";
import type { ImageFormat } from "./formats.ts";
import { startUnbzip2 } from "./unbzip2.ts";

/** lbzip2 takes memory for every thread; beyond this many it is the disk that is waited for. */
const decoderThreads = Math.min(availableParallelism(), 8);

const commands: Record<Exclude<ImageFormat, "raw">, { tool: ToolName; args: readonly string[] }> = {
  bz2: { tool: "lbzip2", args: ["-dc", `-n${decoderThreads}`] },
  gz: { tool: "gzip", args: ["-dc"] },
  xz: { tool: "xz", args: ["-dc", "-T1"] },
  zst: { tool: "zstd", args: ["-dc", "-q"] },
};

/** What a decoder takes at most: lbzip2 for each thread; xz and zstd for the largest window they accept by default. */
export const decoderMemoryBytes: Readonly<Record<ImageFormat, number>> = {
  bz2: (16 * decoderThreads) << 20,
  gz: 8 << 20,
  xz: 80 << 20,
  zst: 144 << 20,
  raw: 0,
};

/**
 * Starts decoding the file at `path`: the format's own command, or unbzip2-stream for bz2 where lbzip2 is not packed.
 * @throws ReimageError `image` where no decoder for the format is packed.
 */
export function startDecoder(path: string, format: ImageFormat): Filter {
  if (format === "raw") return readRaw(path);
  const { tool, args } = commands[format];
  if (hasTool(tool)) return startFilter(tool, args, path, { code: "image" });
  if (format === "bz2") return startUnbzip2(path);
  throw new ReimageError("image", `image ${path} is ${format}, and ${tool}, which decodes it, is not here`, {
    hint: `add ${tool} to this system or initramfs, or pack the image as bz2, which can always be decoded`,
  });
}

/** Which program decodes `format` here, for the log. */
export function decoderName(format: ImageFormat): string {
  if (format === "raw") return "none needed";
  const { tool } = commands[format];
  return format === "bz2" && !hasTool(tool) ? "unbzip2-stream" : tool;
}

function readRaw(path: string): Filter {
  const stream = createReadStream(path, { highWaterMark: 1 << 20 });
  return {
    output: stream,
    finished: async () => {
      if (stream.errored)
        throw new ReimageError("image", `cannot read ${path}`, {
          cause: stream.errored,
          hint: "test the medium that holds it",
        });
    },
    stop: async () => {
      stream.destroy();
    },
  };
}

/**
 * Hands the decoded bytes to `consume`, in order. A failed decoder is reported as such, even where the first sign of it
 * was the end of its output. `consume` returns false to end early; the decoder is then stopped.
 * @returns how many bytes were decoded, and whether the image was decoded to its end.
 */
export async function decodeTo(
  path: string,
  format: ImageFormat,
  consume: (piece: Uint8Array) => Promise<boolean> | boolean,
): Promise<{ sizeBytes: number; isComplete: boolean }> {
  const decoder = startDecoder(path, format);
  let sizeBytes = 0;
  let isComplete = true;
  let isConsuming = false;
  try {
    for await (const piece of decoder.output) {
      sizeBytes += piece.length;
      isConsuming = true;
      isComplete = await consume(piece);
      isConsuming = false;
      if (!isComplete) break; // before the decoder is stopped: its output must not be held any more
    }
  } catch (cause) {
    await decoder.stop();
    // A decoder that failed breaks its stream; its own words say more than the stream's.
    if (!isConsuming) await decoder.finished();
    throw asReimageError(cause);
  }
  await (isComplete ? decoder.finished() : decoder.stop());
  return { sizeBytes, isComplete };
}
