/** The bytes of one answer, counted: never more than announced, and never fewer in silence. */
import { ReimageError } from "../errors.ts";
import { type AskedRange, findChange, type Identity, interpretAnswer } from "./answer.ts";
import type { Mirror } from "./mirrors.ts";
import { type Answer, type Clock, type Connection, request } from "./request.ts";
import { statusTrouble, Trouble } from "./trouble.ts";

/** Passing over this much is quicker than a new connection. */
const shortSkipBytes = 256 << 10;

export interface RangeStream {
  readonly mirror: Mirror;
  /** Whether the byte at `positionBytes` can be had by reading on, without passing over much that another request would not. */
  canReach(positionBytes: number): boolean;
  /**
   * At least one byte from `startBytes` on, and none from `limitBytes` on; what lies before `startBytes` is passed over.
   * @throws Trouble where the connection breaks; ReimageError where there is more than was announced.
   */
  read(startBytes: number, limitBytes: number, clock: Clock): Promise<Uint8Array>;
  /** Whether the answer goes on behind what has been read. */
  hasMore(): boolean;
  /** Waits for the end of an answer without more. @throws ReimageError where something follows. */
  finish(clock: Clock): Promise<void>;
  close(): void;
}

/**
 * Asks a mirror what the file is.
 * @throws Trouble
 */
export async function askIdentity(mirror: Mirror, connection: Connection, clock: Clock): Promise<Identity> {
  const asked = { startBytes: 0, endBytes: 1 };
  const answer = await ask(mirror, asked, connection, clock);
  try {
    const { identity } = interpretAnswer(answer.status, answer.headers, asked);
    const { sizeBytes } = identity;
    if (sizeBytes === null) throw new Trouble("lasting", "does not say how large the file is");
    // One byte, and then the end: a connection whose answer was read to its end is used again.
    if (answer.status === 206) for (let pulls = 0; pulls < 2 && (await answer.pull(clock)) !== null; pulls++);
    return { ...identity, sizeBytes };
  } finally {
    answer.close();
  }
}

/**
 * Asks a mirror for a range of the file, which has `sizeBytes` bytes as far as is known.
 * @throws Trouble where it cannot be had there; ReimageError `image` where the file has changed.
 */
export async function openRange(
  mirror: Mirror,
  asked: AskedRange,
  sizeBytes: number,
  connection: Connection,
  clock: Clock,
): Promise<RangeStream> {
  const answer = await ask(mirror, asked, connection, clock);
  try {
    const { identity, startBytes } = interpretAnswer(answer.status, answer.headers, asked);
    if (mirror.identity === null) {
      if (identity.sizeBytes !== sizeBytes) {
        throw new Trouble("lasting", `has a file of ${identity.sizeBytes ?? "unknown"} bytes instead of ${sizeBytes}`);
      }
      mirror.identity = { ...identity, sizeBytes };
    }
    // An answer that there is no such range speaks of the file's size alone.
    const now = answer.status === 416 ? { ...mirror.identity, sizeBytes: identity.sizeBytes } : identity;
    const change = findChange(mirror.identity, now);
    if (change !== null) {
      throw new ReimageError("image", `image ${mirror.address.name} changed while it was being read: ${change}`, {
        hint: "publish a new image under a new name, leave the old one as it is, and start again",
      });
    }
    if (answer.status === 416) throw statusTrouble(answer.status, answer.headers);
    const isWhole = answer.status === 200;
    return createRangeStream(mirror, answer, startBytes, isWhole ? sizeBytes : asked.endBytes, isWhole);
  } catch (thrown) {
    answer.close();
    throw thrown;
  }
}

function ask(mirror: Mirror, asked: AskedRange, connection: Connection, clock: Clock): Promise<Answer> {
  return request(
    mirror.address,
    { range: `bytes=${asked.startBytes}-${asked.endBytes - 1}`, "cache-control": "no-transform" },
    connection,
    clock,
  );
}

/** @param isWhole whether the server gave the whole file and might always do so */
function createRangeStream(
  mirror: Mirror,
  answer: Answer,
  startBytes: number,
  endBytes: number,
  isWhole: boolean,
): RangeStream {
  let position = startBytes;
  let rest: Uint8Array = new Uint8Array();

  /** Makes sure that there is something in `rest`. */
  async function fill(clock: Clock): Promise<void> {
    if (rest.length > 0) return;
    const piece = await answer.pull(clock);
    if (piece === null) throw new Trouble("passing", `broke off at byte ${position}`);
    if (position + piece.length > endBytes) tooMuch();
    rest = piece;
  }

  function tooMuch(): never {
    throw new ReimageError("image", `${mirror.address.name} sent more than the ${endBytes - startBytes} bytes it had`, {
      hint: "the server is broken: use another one, or an image on a disk",
    });
  }

  function take(sizeBytes: number): Uint8Array {
    const taken = rest.subarray(0, sizeBytes);
    rest = rest.subarray(sizeBytes);
    position += taken.length;
    return taken;
  }

  return {
    mirror,
    canReach: (wanted) => position <= wanted && wanted < endBytes && (isWhole || wanted - position <= shortSkipBytes),
    hasMore: () => position < endBytes,
    close: () => answer.close(),
    async read(from, limit, clock) {
      while (position < from) {
        await fill(clock);
        take(from - position);
      }
      await fill(clock);
      return take(limit - position);
    },
    async finish(clock) {
      try {
        if ((await answer.pull(clock)) !== null) tooMuch();
      } catch (thrown) {
        if (!(thrown instanceof Trouble)) throw thrown; // all bytes are here: how the connection ends does not matter
      } finally {
        answer.close();
      }
    },
  };
}
