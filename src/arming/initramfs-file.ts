/** What an initramfs says of itself, read without unpacking it: its list of drivers, and whether it is whole. */
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { ReimageError } from "../errors.ts";

/** Members that scripts/build-initramfs.ts puts first and last into the archive. */
const driversName = "drivers";
const lastName = "zz-complete";
/** A list that is longer is not read; ours has some ten thousand bytes. */
const longestListBytes = 4 << 20;

export interface InitramfsFacts {
  /** Content of `/drivers`; null: it has none, or its compression is not known here. */
  readonly drivers: string | null;
  /** `unknown`: it is not ours, or its compression is not known here. */
  readonly whole: "yes" | "no" | "unknown";
}

/** @throws ReimageError `lifeboat` where it cannot be opened. */
export async function inspectInitramfs(path: string): Promise<InitramfsFacts> {
  const unpack = await chooseDecoder(path);
  if (unpack === null) return { drivers: null, whole: "unknown" };
  let drivers: string | null = null;
  try {
    for await (const { name, content } of members(new PieceReader(unpack(path)))) {
      if (name === driversName) drivers = content.toString("utf8");
      if (name === lastName) return { drivers, whole: "yes" };
    }
  } catch (error) {
    if (isIncomplete(error)) return { drivers, whole: "no" };
    throw new ReimageError("lifeboat", `${path} cannot be read`, { cause: error });
  }
  return { drivers, whole: "unknown" };
}

type Decoder = (path: string) => AsyncIterable<Buffer>;

/** By the first bytes, as the kernel chooses it (lib/decompress.c). */
async function chooseDecoder(path: string): Promise<Decoder | null> {
  const start = Buffer.alloc(6);
  await using file = await openFile(path);
  await file.read(start, 0, start.length, 0);
  if (start.toString("latin1") === "070701") return (name) => createReadStream(name, { highWaterMark: 1 << 20 });
  if (start.readUInt32LE(0) === 0xfd2fb528) return (name) => decode(name, createZstdDecompress());
  if (start.readUInt16BE(0) === 0x1f8b) return (name) => decode(name, createGunzip());
  return null;
}

async function openFile(path: string): Promise<FileHandle> {
  return await open(path, "r").catch((cause: unknown) => {
    throw new ReimageError("lifeboat", `${path} cannot be opened`, { cause });
  });
}

/** What follows the first compressed archive is not read: its last member ends the reading. */
function decode(path: string, decoder: NodeJS.ReadWriteStream): AsyncIterable<Buffer> {
  const input = createReadStream(path);
  input.on("error", (error) => decoder.emit("error", error));
  return Readable.from(input.pipe(decoder)) as AsyncIterable<Buffer>;
}

class CutShort extends Error {}

/** An archive or its compression that breaks off or makes no sense; anything else is the disk's fault. */
function isIncomplete(error: unknown): boolean {
  return error instanceof CutShort || /^(Z_|ZSTD_|ERR_)/.test((error as NodeJS.ErrnoException).code ?? "");
}

interface Member {
  readonly name: string;
  /** Of the list of drivers alone. */
  readonly content: Buffer;
}

/** The members of a cpio archive "newc", until its trailer. */
async function* members(input: PieceReader): AsyncGenerator<Member> {
  const headerBytes = 110;
  const padding = (bytes: number) => -bytes & 3;
  for (;;) {
    const header = (await input.take(headerBytes)).toString("latin1");
    if (!/^07070[12][0-9A-Fa-f]{104}$/.test(header)) throw new CutShort("no header of a member");
    const field = (index: number) => Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const [sizeBytes, nameBytes] = [field(6), field(11)];
    const name = (await input.take(nameBytes)).toString("latin1").replace(/\0.*$/s, "");
    await input.skip(padding(headerBytes + nameBytes));
    if (name === "TRAILER!!!") return;
    const isWanted = name === driversName && sizeBytes <= longestListBytes;
    const content = isWanted ? await input.take(sizeBytes) : Buffer.alloc(0);
    if (!isWanted) await input.skip(sizeBytes);
    await input.skip(padding(sizeBytes));
    yield { name, content };
  }
}

/** Takes bytes from pieces of any size. */
class PieceReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    await this.#each(bytes, (part) => parts.push(part));
    return Buffer.concat(parts);
  }

  async skip(bytes: number): Promise<void> {
    await this.#each(bytes, () => {});
  }

  async #each(bytes: number, use: (part: Buffer) => void): Promise<void> {
    for (let left = bytes; left > 0; ) {
      if (this.#rest.length === 0) {
        const next = await this.#pieces.next();
        if (next.done === true) throw new CutShort("the archive ends within a member");
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      use(part);
    }
  }
}
