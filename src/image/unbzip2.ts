/** The decoder of last resort: bz2 in JavaScript, where lbzip2 is not packed. A tenth of its speed. */
import bitIterator from "unbzip2-stream/lib/bit_iterator.js";
import bzip2 from "unbzip2-stream/lib/bzip2.js";
import { ReimageError } from "../errors.ts";

const pieceBytes = 1 << 20;

/** More than any block takes when it is packed: 900,000 symbols of 20 bits, and its tables. */
const largestBlockBytes = 3 << 20;

/**
 * Decodes bz2, one block at a time. That is done with the inner parts of unbzip2-stream: as a stream it decodes whatever
 * it is given at once, however slowly its output is read, and a MiB of packed zeros is many GiB.
 * @throws ReimageError `image` (while it is iterated) where the input is no bz2, ends too early, or has a wrong CRC. The
 * CRC of a block is checked when the block has been handed out.
 */
export async function* decodeBz2(input: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const queue = createQueue(input);
  try {
    await queue.fill();
    const bits = bitIterator(queue.take);
    do {
      const table = new Int32Array(100_000 * bzip2.header(bits));
      for (let crc: number | null = 0; crc !== null; ) {
        await queue.fill();
        const block = createSink();
        crc = bzip2.decompress(bits, block.put, table, table.length, crc);
        yield* block.pieces();
        await new Promise(setImmediate); // a block takes long enough that others have to have their turn
      }
      await queue.fill();
    } while (queue.takenBytes() + queue.waitingBytes() > bits.bytesRead);
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause; // the input's own failure
    throw new ReimageError("image", `unbzip2-stream cannot decode ${name}`, {
      cause,
      hint: "copy the image again and compare its size and digest with the original",
    });
  } finally {
    await queue.end();
  }
}

/** Compressed bytes that have been read ahead, because the decoder cannot wait for them in the middle of a block. */
function createQueue(input: AsyncIterable<Uint8Array>) {
  const iterator = input[Symbol.asyncIterator]();
  const waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let takenBytes = 0;
  let isEnded = false;
  return {
    /** Reads ahead until the next block is surely there. */
    async fill(): Promise<void> {
      while (!isEnded && waitingBytes < largestBlockBytes) {
        const { value, done } = await iterator.next();
        if (done === true) {
          isEnded = true;
        } else {
          waiting.push(Uint8Array.from(value)); // it is only lent
          waitingBytes += value.length;
        }
      }
    },
    take(): Uint8Array {
      const next = waiting.shift();
      if (next === undefined) throw new Error("it ends in the middle of a stream");
      waitingBytes -= next.length;
      takenBytes += next.length;
      return next;
    },
    waitingBytes: () => waitingBytes,
    takenBytes: () => takenBytes,
    async end(): Promise<void> {
      await iterator.return?.();
    },
  };
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
