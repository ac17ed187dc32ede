/**
 * The end of a gz file (RFC 1952). Where a member ends cannot be told without decoding it, and gzip passes over zeros
 * behind the last one, and decodes what compress, pack and lzh have made. But a file of one member ends with the CRC and
 * the size of all that was decoded: then nothing follows. Otherwise it has several members, or something behind it, and
 * is decoded once more, by zlib, which says how many bytes it took.
 */
import { pipeline } from "node:stream/promises";
import { crc32, createGunzip } from "node:zlib";
import { ReimageError } from "../../errors.ts";
import type { DecodedEndCheck, StreamEndScanner } from "./scanner.ts";
import { createTail, cutOff, somethingBehind, type Tail, tailBytes } from "./tail.ts";

/** Sizes are kept modulo this (RFC 1952, 2.3.1: ISIZE). */
const sizeModulo = 2 ** 32;
/** An empty member: ten bytes of header, two of an empty block, eight of trailer. */
const leastMemberBytes = 20;

/** Starts judging the gz file `name`. */
export function createGzEndScanner(name: string): StreamEndScanner {
  const tail = createTail();
  return {
    update: tail.update,
    finish() {
      if (tail.sizeBytes < leastMemberBytes) throw cutOff(name, `no gz member fits into its ${tail.sizeBytes} bytes`);
      return createDecodedCheck(name, tail);
    },
  };
}

function createDecodedCheck(name: string, tail: Tail): DecodedEndCheck {
  let crc = 0;
  let decodedBytes = 0;
  return {
    update(piece) {
      crc = crc32(piece, crc);
      decodedBytes += piece.length;
    },
    async finish(source) {
      const trailer = Buffer.alloc(tailBytes);
      trailer.writeUInt32LE(crc, 0);
      trailer.writeUInt32LE(decodedBytes % sizeModulo, 4);
      // A trailer of nothing but zeros cannot be told from what may follow it.
      const ends = trailer.every((byte) => byte === 0)
        ? []
        : possibleEnds(tail).filter((end) => end.trailer.equals(trailer));
      if (ends.some((end) => end.atBytes === tail.sizeBytes)) return;
      const [end] = ends;
      if (end !== undefined) throw somethingBehind(name, "gz member", end.atBytes, tail.sizeBytes);
      await requireMembers(name, source);
    },
  };
}

/** Where a trailer could end that is followed by nothing but zeros, and its bytes. It may end with zeros itself. */
function possibleEnds({ sizeBytes, zeroBytes, last }: Tail): { atBytes: number; trailer: Buffer }[] {
  const window = Buffer.concat([last, Buffer.alloc(Math.min(zeroBytes, tailBytes))]);
  const count = Math.max(0, window.length - tailBytes + 1);
  return Array.from({ length: count }, (_, at) => ({
    atBytes: sizeBytes - zeroBytes + at,
    trailer: window.subarray(at, at + tailBytes),
  }));
}

/** @throws ReimageError `image` where the file is anything but gz members that follow each other up to its end. */
async function requireMembers(name: string, source: Parameters<DecodedEndCheck["finish"]>[0]): Promise<void> {
  const { sizeBytes } = source;
  const gunzip = createGunzip();
  async function* copies(): AsyncGenerator<Uint8Array> {
    for await (const piece of source.read(0, sizeBytes)) yield Uint8Array.from(piece); // zlib reads it later
  }
  const failure: unknown = await pipeline(copies(), gunzip, async (decoded) => {
    for await (const _ of decoded);
  }).catch((error: unknown) => error);
  if (failure instanceof ReimageError) throw failure; // of the source
  if (failure === undefined && gunzip.bytesWritten === sizeBytes) return;
  // zlib ends its output where zeros follow a member; the pipeline then breaks, if they are many.
  const endedEarly = failure === undefined || !isZlibError(failure);
  if (endedEarly) throw somethingBehind(name, "gz member", gunzip.bytesWritten, sizeBytes);
  throw new ReimageError("image", `image ${name} has something that is no gz member within its ${sizeBytes} bytes`, {
    cause: failure,
    hint: "copy the image again and compare its size with the original",
  });
}

function isZlibError(failure: unknown): boolean {
  return failure instanceof Error && "code" in failure && String(failure.code).startsWith("Z_");
}
