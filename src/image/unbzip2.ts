/** The decoder of last resort: bz2 in JavaScript, where lbzip2 is not packed. A tenth of its speed. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import unbzip2 from "unbzip2-stream";
import { ReimageError } from "../errors.ts";
import type { Filter } from "../system/commands.ts";

/**
 * Decodes the bz2 file at `path`. unbzip2-stream accepts an empty file and a stream without its last bytes, so the caller
 * judges the file by `createBz2StreamScanner` and the result by size and digest.
 */
export function startUnbzip2(path: string): Filter {
  const input = createReadStream(path, { highWaterMark: 1 << 20 });
  const decoder = input.pipe(unbzip2());
  const output = new Readable({ highWaterMark: 1 << 20 }).wrap(decoder);
  let failure: unknown = null;
  const fail = (cause: unknown) => {
    failure ??= cause;
    output.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  };
  input.on("error", fail);
  decoder.on("error", fail);
  output.on("error", () => {}); // reported by finished(); without a listener the process would end
  return {
    output,
    async finished() {
      if (failure === null) return;
      throw new ReimageError("image", `unbzip2-stream cannot decode ${path}`, {
        cause: failure,
        hint: "copy the image again and compare its size and digest with the original",
      });
    },
    async stop() {
      input.destroy();
      output.destroy();
    },
  };
}
