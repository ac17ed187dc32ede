/** The decoder of last resort: bz2 in JavaScript, where lbzip2 is not packed. A tenth of its speed. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import bitIterator from "unbzip2-stream/lib/bit_iterator.js";
import bzip2 from "unbzip2-stream/lib/bzip2.js";
import { ReimageError } from "../errors.ts";
import type { Filter } from "../system/commands.ts";

const readBytes = 64 << 10;
const pieceBytes = 1 << 20;

/**
 * Decodes the bz2 file at `path`, one block at a time. That is done with the inner parts of unbzip2-stream: as a stream it
 * decodes whatever it is given at once, however slowly its output is read, and a MiB of packed zeros is many GiB.
 */
export function startUnbzip2(path: string): Filter {
  let failure: ReimageError | null = null;
  async function* decode(): AsyncGenerator<Uint8Array> {
    try {
      yield* decodeStreams(path);
    } catch (cause) {
      failure = new ReimageError("image", `unbzip2-stream cannot decode ${path}`, {
        cause,
        hint: "copy the image again and compare its size and digest with the original",
      });
      throw failure;
    }
  }
  return {
    output: decode(),
    finished: async () => {
      if (failure !== null) throw failure;
    },
    stop: async () => {}, // nothing runs by itself: whoever stops reading has stopped it
  };
}

/** The content of all streams of the file. The CRC of each block is checked when the block has been handed out. */
async function* decodeStreams(path: string): AsyncGenerator<Uint8Array> {
  const fd = openSync(path, "r");
  try {
    const { size: sizeBytes } = fstatSync(fd);
    const input = Buffer.alloc(readBytes);
    const bits = bitIterator(() => {
      const bytesRead = readSync(fd, input);
      if (bytesRead === 0) throw new Error("it ends in the middle of a stream");
      return input.subarray(0, bytesRead);
    });
    while (bits.bytesRead < sizeBytes) {
      const table = new Int32Array(100_000 * bzip2.header(bits));
      for (let crc: number | null = 0; crc !== null; ) {
        const block = createSink();
        crc = bzip2.decompress(bits, block.put, table, table.length, crc);
        yield* block.pieces();
        await new Promise(setImmediate); // a block takes long enough that others have to have their turn
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Takes a block byte by byte. It has 46 MB at most: 900,000 symbols, of which five can stand for 259 bytes. */
function createSink() {
  const full: Uint8Array[] = [];
  let piece = new Uint8Array(pieceBytes);
  let filledBytes = 0;
  return {
    put(byte: number): void {
      if (filledBytes === pieceBytes) {
        full.push(piece);
        piece = new Uint8Array(pieceBytes);
        filledBytes = 0;
      }
      piece[filledBytes++] = byte;
    },
    pieces: () => (filledBytes === 0 ? full : [...full, piece.subarray(0, filledBytes)]),
  };
}
