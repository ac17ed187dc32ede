/** Files in a stretch of the lifeboat: packed as one parcel that is known by its digest, and unpacked again. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import type { Region } from "../image/regions.ts";
import type { Parcel } from "./record.ts";
import { readRegions } from "./region-io.ts";

interface Contents {
  readonly name: string;
  readonly sizeBytes: number;
}

const lengthBytes = 4;

/** The bytes of a parcel: the length of its list, the list, and the files, one behind the other. */
export async function* packFiles(directory: string, names: readonly string[]): AsyncGenerator<Buffer> {
  const contents: Contents[] = [];
  for (const name of names) contents.push({ name, sizeBytes: (await stat(join(directory, name))).size });
  const list = Buffer.from(JSON.stringify(contents));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32LE(list.length);
  yield Buffer.concat([length, list]);
  for (const { name, sizeBytes } of contents) {
    // What a log grows by meanwhile belongs to the next parcel.
    if (sizeBytes > 0) yield* createReadStream(join(directory, name), { end: sizeBytes - 1 }) as AsyncIterable<Buffer>;
  }
}

/**
 * Unpacks a parcel into a directory; the files appear there when all of it has been proven.
 * @throws ReimageError `lifeboat` where the disk does not hold what was parked there.
 */
export async function unpackFiles(
  device: BlockDevice,
  regions: readonly Region[],
  parcel: Parcel,
  directory: string,
): Promise<void> {
  const hash = createHash("sha256");
  const made: string[] = [];
  let head = Buffer.alloc(0);
  let contents: readonly Contents[] | null = null;
  let file: FileHandle | null = null;
  let leftBytes = 0;
  try {
    for await (const piece of readRegions(device, regions, 0, parcel.sizeBytes)) {
      hash.update(piece);
      let rest: Buffer = piece;
      if (contents === null) {
        head = Buffer.concat([head, piece]);
        const listEnd = head.length < lengthBytes ? Number.POSITIVE_INFINITY : lengthBytes + head.readUInt32LE(0);
        if (listEnd > parcel.sizeBytes) throw notAsParked(device.path);
        if (head.length < listEnd) continue;
        contents = parseList(head.toString("utf8", lengthBytes, listEnd), device.path);
        rest = head.subarray(listEnd);
      }
      for (let next = contents[made.length]; leftBytes > 0 || next !== undefined; next = contents[made.length]) {
        if (file === null && next !== undefined) {
          file = await open(join(directory, `${next.name}.unpacked`), "w", 0o600);
          made.push(next.name);
          leftBytes = next.sizeBytes;
        }
        const part = rest.subarray(0, leftBytes);
        if (part.length > 0) await file?.writeFile(part);
        leftBytes -= part.length;
        rest = rest.subarray(part.length);
        if (leftBytes > 0) break;
        await file?.close();
        file = null;
      }
    }
    if (hash.digest("hex") !== parcel.sha256) throw notAsParked(device.path);
    for (const name of made) await rename(join(directory, `${name}.unpacked`), join(directory, name));
  } catch (error) {
    await file?.close();
    for (const name of made) await rm(join(directory, `${name}.unpacked`), { force: true });
    throw error;
  }
}

/** Before the digest is known the list may be anything: no name may lead out of the directory. */
function parseList(text: string, path: string): readonly Contents[] {
  try {
    const list = JSON.parse(text) as readonly Contents[];
    if (list.every(({ name, sizeBytes }) => /^[\w.-]+$/.test(name) && Number.isSafeInteger(sizeBytes))) return list;
  } catch {
    // said below
  }
  throw notAsParked(path);
}

function notAsParked(path: string): ReimageError {
  return new ReimageError("lifeboat", `the lifeboat on ${path} does not hold what was parked in it`, {
    hint: "the disk or its cable is faulty, or somebody wrote to the lifeboat; where the next start ends in the same way, the machine has to be installed from outside, without its retained files",
  });
}
