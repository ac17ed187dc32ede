/** A file that is written from its start to its end and hashed on the way; and the digest of a file that is there. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { writeFully } from "./file-io.ts";

const BATCH_BYTES = 1024 * 1024;

/** Size and digest of a finished file. */
export interface FileDigest {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Appends to a file; small pieces are gathered, so that a header does not cost a system call. */
export class HashedFile implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  #sizeBytes = 0;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Creates `path`, or empties it: what an interrupted run left is worth nothing. */
  static async create(path: string): Promise<HashedFile> {
    return new HashedFile(await open(path, "w", 0o600));
  }

  async append(data: Uint8Array): Promise<void> {
    this.#pending.push(data);
    this.#pendingBytes += data.length;
    if (this.#pendingBytes >= BATCH_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const batch = this.#pending.length === 1 ? (this.#pending[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#hash.update(batch);
    await writeFully(this.#file, batch, this.#sizeBytes);
    this.#sizeBytes += batch.length;
  }

  /** Writes what is pending, syncs, and says what the file holds. */
  async finish(): Promise<FileDigest> {
    await this.#flush();
    await this.#file.sync();
    return { sizeBytes: this.#sizeBytes, sha256: this.#hash.digest("hex") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** Reads a whole file for its size and digest. */
export async function hashFile(path: string): Promise<FileDigest> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(BATCH_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, sizeBytes);
      if (bytesRead === 0) return { sizeBytes, sha256: hash.digest("hex") };
      hash.update(buffer.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}
