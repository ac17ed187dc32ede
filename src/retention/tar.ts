/** Writes the archive with tar-stream. The one file that imports it. */
import { once } from "node:events";
import { pack as createPack, type Header, type Pack } from "tar-stream";
import type { FileMetadata } from "./entry.ts";
import { type FileDigest, HashedFile } from "./hashed-file.ts";
import { memberName } from "./pax.ts";

const BLOCK_BYTES = 512;

type MemberHeader = Partial<Header> & Pick<Header, "name">;

const typeBits: Readonly<Record<FileMetadata["type"], number>> = {
  file: 0o100000,
  link: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  "character-device": 0o020000,
  "block-device": 0o060000,
};

/** One member of the archive. */
export interface TarMember {
  readonly entry: FileMetadata;
  readonly user: string | null;
  readonly group: string | null;
  readonly paxHeader: Buffer;
  /** Bytes that `content` will yield. */
  readonly storedBytes: number;
  readonly content: AsyncIterable<Buffer>;
}

/** A tar file that is being written; `finish` ends it. */
export class TarWriter implements AsyncDisposable {
  readonly #output: HashedFile;
  readonly #pack: Pack = createPack();
  readonly #writing: Promise<void>;
  #writeError: unknown = null;
  #offsetBytes = 0;
  #memberNumber = 0;

  private constructor(output: HashedFile) {
    this.#output = output;
    this.#pack.on("error", () => {}); // every error arrives at the caller of add() or finish()
    this.#writing = this.#write();
  }

  static async create(path: string): Promise<TarWriter> {
    return new TarWriter(await HashedFile.create(path));
  }

  /** Adds a member and returns where its content begins in the file. */
  async add(member: TarMember): Promise<number> {
    this.#memberNumber += 1;
    const { entry, paxHeader } = member;
    const paxName = `PaxHeaders/${this.#memberNumber}`;
    // tar-stream writes extended headers from strings, as UTF-8, and lets no member of that type have content. So it
    // starts as a file, and is renamed before tar-stream encodes its header, which it does in a later microtask.
    const paxMember: MemberHeader = {
      name: paxName,
      type: "file",
      mode: 0o644,
      size: paxHeader.length,
      mtime: new Date(0),
    };
    const paxWritten = this.#entry(paxMember, toIterable(paxHeader));
    (paxMember as { type?: string }).type = "pax-header";
    await paxWritten;
    const headerBytes = BLOCK_BYTES + roundUp(paxHeader.length) + BLOCK_BYTES;
    const contentOffsetBytes = this.#offsetBytes + headerBytes;
    await this.#entry(this.#header(member), entry.type === "file" ? member.content : null);
    this.#offsetBytes = contentOffsetBytes + roundUp(member.storedBytes);
    return contentOffsetBytes;
  }

  /** The old header: what fits into it; the extended header says the rest. */
  #header({ entry, user, group, storedBytes }: TarMember): MemberHeader {
    const name = memberName(entry).toString("latin1");
    const device = entry.device;
    return {
      name: isPlain(name, 100) ? name : `retained/${this.#memberNumber}`,
      type: entry.type,
      mode: typeBits[entry.type] | entry.mode, // with the type, since tar-stream takes mode 0 for "not given"
      uid: entry.uid,
      gid: entry.gid,
      size: storedBytes,
      mtime: new Date(headerSeconds(entry.modifiedNs) * 1000),
      ...(entry.symlinkTarget !== null || entry.linkOf !== null ? { linkname: "see-extended-header" } : {}),
      ...(user !== null && isPlain(user, 31) ? { uname: user } : {}),
      ...(group !== null && isPlain(group, 31) ? { gname: group } : {}),
      // gnu_dev_major(3), gnu_dev_minor(3)
      devmajor: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
      devminor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
    };
  }

  async #entry(header: MemberHeader, content: AsyncIterable<Buffer> | null): Promise<void> {
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    const sink = this.#pack.entry(header, (error) => (error ? reject(error) : resolve()));
    sink.on("error", reject);
    try {
      for await (const chunk of content ?? []) {
        if (!sink.write(chunk)) await Promise.race([once(sink, "drain"), written]);
      }
      if (content !== null) sink.end(null);
      await written;
    } catch (error) {
      written.catch(() => {});
      this.#pack.destroy(asError(error));
      throw this.#writeError ?? error;
    }
  }

  async #write(): Promise<void> {
    try {
      for await (const chunk of this.#pack) await this.#output.append(chunk as Uint8Array);
    } catch (error) {
      this.#writeError ??= error;
      this.#pack.destroy(asError(error));
    }
  }

  /** Ends the archive and syncs it. */
  async finish(): Promise<FileDigest> {
    this.#pack.finalize();
    await this.#writing;
    if (this.#writeError !== null) throw this.#writeError;
    const digest = await this.#output.finish();
    if (digest.sizeBytes !== this.#offsetBytes + 2 * BLOCK_BYTES)
      throw new Error("its members are not where they should be");
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pack.destroy();
    await this.#writing;
    await this.#output[Symbol.asyncDispose]();
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** What the old header and tar-stream can hold: 1970 to 2038. */
function headerSeconds(ns: bigint): number {
  return Math.min(Math.max(Number(ns / 1_000_000_000n), 0), 2 ** 31 - 1);
}

function isPlain(text: string, maxBytes: number): boolean {
  return text.length > 0 && text.length <= maxBytes && /^[\x21-\x7e]*$/.test(text);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

async function* toIterable(data: Buffer): AsyncGenerator<Buffer> {
  yield data;
}
