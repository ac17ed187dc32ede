/** Small files beside an image: its manifest, the signature, the block map. */
import { ReimageError } from "../errors.ts";
import { parseContentLength, refuseEncoding } from "./answer.ts";
import { createAttempts } from "./attempts.ts";
import { openConnection } from "./connection.ts";
import { createMirrors, type Mirror } from "./mirrors.ts";
import type { HttpOptions } from "./options.ts";
import { type Clock, type Connection, request } from "./request.ts";
import { statusTrouble, Trouble } from "./trouble.ts";

/**
 * Reads a whole file into memory from the first server that has it.
 * @returns null where every server says that there is no such file (404, 410). One that says nothing could have it: that is
 * an error in the end, so that a manifest is not left out because its server was busy.
 * @throws ReimageError `image` where it cannot be had, or has more than `limitBytes`; `config` for a bad URL or CA file.
 */
export async function fetchSmall(
  urls: readonly string[],
  options: HttpOptions,
  limitBytes: number,
): Promise<Buffer | null> {
  const mirrors = createMirrors(urls);
  await using connection = await openConnection(mirrors.name, options);
  const attempts = createAttempts(mirrors, options, connection.signal, () => "it is read as a whole");
  while (true) {
    if (mirrors.all.every(({ trouble }) => trouble?.kind === "absent")) return null;
    const mirror = mirrors.current();
    try {
      return await readWhole(mirror, connection, attempts, limitBytes);
    } catch (thrown) {
      await attempts.failed(mirror, thrown);
    }
  }
}

async function readWhole(
  mirror: Mirror,
  connection: Connection,
  clock: Clock,
  limitBytes: number,
): Promise<Buffer<ArrayBuffer>> {
  const answer = await request(mirror.address, {}, connection, clock);
  try {
    if (answer.status !== 200) throw statusTrouble(answer.status, answer.headers);
    refuseEncoding(answer.headers);
    const announcedBytes = parseContentLength(answer.headers);
    if (announcedBytes === null && !answer.headers.has("transfer-encoding")) {
      throw new Trouble("lasting", "does not say where the file ends");
    }
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for (let piece = await answer.pull(clock); piece !== null; piece = await answer.pull(clock)) {
      sizeBytes += piece.length;
      if (sizeBytes > limitBytes) throw tooLarge(mirror, limitBytes);
      pieces.push(piece);
    }
    if (announcedBytes !== null && sizeBytes !== announcedBytes) {
      throw new Trouble("passing", `broke off at byte ${sizeBytes} of ${announcedBytes}`);
    }
    return Buffer.concat(pieces);
  } finally {
    answer.close();
  }
}

function tooLarge(mirror: Mirror, limitBytes: number): ReimageError {
  return new ReimageError("image", `${mirror.address.name} is larger than such a file can be (${limitBytes} bytes)`, {
    hint: "check image.manifest, and what the server has under that name",
  });
}
