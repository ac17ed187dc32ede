/** An image on web servers, as a source of bytes: they are exactly the file's, or there is an error. */
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "../image/byte-source.ts";
import { type Attempts, createAttempts } from "./attempts.ts";
import { openConnection } from "./connection.ts";
import { createMirrors, type Mirrors } from "./mirrors.ts";
import type { HttpOptions } from "./options.ts";
import { askIdentity, openRange, type RangeStream } from "./range-stream.ts";
import type { Connection } from "./request.ts";

/**
 * Asks all servers for the file, and opens it where at least one has it. What has not been asked for waits at the server:
 * a slow reader takes no memory. A read may be slower over many small ranges than over one large one.
 * @param urls the same file on each; the first one names it
 * @throws ReimageError `image` where no server has it, or they do not agree in its size; `config` for a bad URL or CA file.
 */
export async function openHttpSource(urls: readonly string[], options: HttpOptions): Promise<ByteSource> {
  const mirrors = createMirrors(urls);
  await using stack = new AsyncDisposableStack();
  const connection = stack.use(await openConnection(mirrors.name, options));
  const sizeBytes = await askAll(mirrors, options, connection);
  const reader = createReader(mirrors, options, connection, sizeBytes);
  const kept = stack.move();
  return {
    name: mirrors.name,
    sizeBytes,
    read: reader,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Asks every mirror what the file is, again and again until one has answered. Returns its size in bytes. */
async function askAll(mirrors: Mirrors, options: HttpOptions, connection: Connection): Promise<number> {
  const attempts = createAttempts(mirrors, options, connection.signal, () => "nothing was read yet");
  const isKnown = () => mirrors.all.some((mirror) => mirror.identity !== null);
  while (true) {
    mirrors.current(); // throws where none is left
    await Promise.all(
      mirrors.usable().map(async (mirror) => {
        try {
          mirror.identity = await askIdentity(mirror, connection, attempts);
          mirror.trouble = null;
        } catch (thrown) {
          attempts.note(mirror, thrown);
        }
      }),
    );
    if (isKnown()) break;
    if (mirrors.usable().length > 0) await attempts.pause();
  }
  return agreedSize(mirrors);
}

function agreedSize(mirrors: Mirrors): number {
  const known = mirrors.all.flatMap(({ address, identity }) => (identity === null ? [] : [{ address, ...identity }]));
  const sizes = new Set(known.map(({ sizeBytes }) => sizeBytes));
  const [sizeBytes] = sizes;
  if (sizes.size === 1 && sizeBytes !== undefined) return sizeBytes;
  const parts = known.map(({ address, sizeBytes }) => `${address.name} has ${sizeBytes} bytes`);
  throw new ReimageError("image", `the servers have different files: ${parts.join("; ")}`, {
    hint: "put the same image on all of them, or take the wrong one out of image.mirrors",
  });
}

function createReader(mirrors: Mirrors, options: HttpOptions, connection: Connection, fileBytes: number) {
  /** An answer that goes on behind what was wanted of it: the one that a server without ranges gives always does. */
  let parked: RangeStream | null = null;

  function takeParked(positionBytes: number): RangeStream | null {
    if (parked === null || !parked.canReach(positionBytes)) return null;
    const taken = parked;
    parked = null;
    return taken;
  }

  async function leave(stream: RangeStream | null, attempts: Attempts): Promise<void> {
    if (stream === null) return;
    if (!stream.hasMore()) return await stream.finish(attempts);
    parked?.close();
    parked = stream;
  }

  return async function* read(offsetBytes: number, sizeBytes: number): AsyncGenerator<Uint8Array, void> {
    const endBytes = offsetBytes + sizeBytes;
    if (offsetBytes < 0 || endBytes > fileBytes) {
      throw new ReimageError("image", `image ${mirrors.name} ended at byte ${fileBytes}`, {
        hint: "the image is shorter than its manifest says: copy it to the server again",
      });
    }
    let position = offsetBytes;
    const attempts = createAttempts(mirrors, options, connection.signal, () => `at byte ${position} of ${fileBytes}`);
    let stream: RangeStream | null = null;
    try {
      while (position < endBytes) {
        stream ??= takeParked(position);
        const mirror = stream?.mirror ?? mirrors.current();
        let piece: Uint8Array;
        try {
          stream ??= await openRange(mirror, { startBytes: position, endBytes }, fileBytes, connection, attempts);
          piece = await stream.read(position, endBytes, attempts);
        } catch (thrown) {
          stream?.close();
          stream = null;
          await attempts.failed(mirror, thrown);
          continue;
        }
        position += piece.length;
        attempts.progressed();
        yield piece;
        attempts.restart();
        if (stream.hasMore()) continue;
        const finished: RangeStream = stream;
        stream = null;
        await finished.finish(attempts);
      }
    } finally {
      await leave(stream, attempts);
    }
  };
}
