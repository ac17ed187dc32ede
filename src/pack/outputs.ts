/**
 * The files that pack writes. Each has a temporary name until all of them are complete and on the disk; the manifest gets
 * its own name last, so that a pack that was killed leaves nothing that looks complete.
 */

import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ReimageError } from "../errors.ts";
import { lockExclusive, SystemCallError } from "../system/libc.ts";
import { syncDirectory } from "../system/sync-directory.ts";

/** What the files are called. */
export interface OutputNames {
  readonly packed: string;
  readonly blockMap: string;
  readonly manifest: string;
  readonly signature: string;
}

/** The files beside the packed image are named after it. */
export function outputNames(packed: string): OutputNames {
  const manifest = `${packed}.manifest.json`;
  return { packed, blockMap: `${packed}.bmap`, manifest, signature: `${manifest}.minisig` };
}

/** `os.img.bz2` packed as zst is `os.img.zst`: beside the image, with another suffix. */
export function defaultPackedName(imagePath: string, format: "zst" | "bz2"): string {
  return join(dirname(imagePath), `${basename(imagePath).replace(/\.(bz2|gz|xz|zst)$/i, "")}.${format}`);
}

/**
 * @param keepsImage whether the image itself is the packed file, and is not written
 * @throws ReimageError `usage` where an output is the image; `output` where one is there already and `force` is not set.
 */
export async function requireFree(
  names: OutputNames,
  imagePath: string,
  options: { readonly force: boolean; readonly keepsImage: boolean },
): Promise<void> {
  const image = await stat(imagePath);
  for (const path of Object.values(names)) {
    if (options.keepsImage && path === names.packed) continue;
    const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw new ReimageError("output", `${path} cannot be written`, { cause: error, hint: "check --output" });
    });
    if (there === null) continue;
    if (there.ino === image.ino && there.dev === image.dev) {
      throw new ReimageError("usage", `${path} would be written over the image that is packed`, {
        hint: "give another name with --output, or leave the image as it is with --compress keep",
      });
    }
    if (!options.force) {
      throw new ReimageError("output", `${path} is there already`, {
        hint: "give another name with --output, or overwrite it with --force",
      });
    }
  }
}

/** Outputs under their temporary names. Disposing removes what was not committed. */
export interface OpenOutputs extends AsyncDisposable {
  /** Appends to the packed image. @throws ReimageError `output` */
  append(data: Buffer): Promise<void>;
  /** Writes the files beside it, and gives all their names. `signature` is null where nothing is signed. */
  commit(texts: { blockMap: string; manifest: string; signature: string | null }): Promise<void>;
}

const temporary = (path: string) => `${path}.part`;

/** @throws ReimageError `output` where a file cannot be created, or another pack is writing the same. */
export async function openOutputs(names: OutputNames, keepsImage: boolean): Promise<OpenOutputs> {
  await using stack = new AsyncDisposableStack();
  const manifest = stack.adopt(await lock(temporary(names.manifest)), (file) => file.close());
  // Leftovers of a pack that was killed are overwritten; only who holds the lock gets here.
  const parts = [names.blockMap, names.signature, ...(keepsImage ? [] : [names.packed]), names.manifest].map(temporary);
  let isCommitted = false;
  stack.defer(async () => {
    if (isCommitted) return; // these names may be another pack's by now
    for (const path of parts) await rm(path, { force: true }); // the lock comes last
  });
  await rm(temporary(names.signature), { force: true }); // the one that is not always written anew
  const packed = keepsImage ? null : stack.adopt(await create(temporary(names.packed)), (file) => file.close());
  const disposables = stack.move();

  async function writeText(path: string, text: string): Promise<void> {
    await using file = await create(temporary(path));
    await writeAll(file, Buffer.from(text), path);
    await sync(file, path);
  }

  return {
    append: async (data) => (packed === null ? undefined : await writeAll(packed, data, names.packed)),
    async commit(texts) {
      if (packed !== null) await sync(packed, names.packed);
      await writeText(names.blockMap, texts.blockMap);
      if (texts.signature !== null) await writeText(names.signature, texts.signature);
      await manifest.truncate(0);
      await writeAll(manifest, Buffer.from(texts.manifest), names.manifest);
      await sync(manifest, names.manifest);
      try {
        // An older manifest must not stand beside a newer image, not even for a moment.
        await rm(names.manifest, { force: true });
        await rm(names.signature, { force: true });
        if (packed !== null) await rename(temporary(names.packed), names.packed);
        await rename(temporary(names.blockMap), names.blockMap);
        if (texts.signature !== null) await rename(temporary(names.signature), names.signature);
        await rename(temporary(names.manifest), names.manifest);
        isCommitted = true;
        await syncDirectory(dirname(names.packed));
      } catch (cause) {
        throw cannotWrite(names.manifest, cause);
      }
    },
    [Symbol.asyncDispose]: () => disposables.disposeAsync(),
  };
}

/** Opens the temporary manifest, which stands for all outputs, for this process alone. */
async function lock(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666).catch((cause) => {
    throw cannotWrite(path, cause);
  });
  try {
    lockExclusive(file.fd, path);
    // It may have been given its own name by a pack that has just ended.
    const [held, named] = [await file.stat(), await stat(path).catch(() => null)];
    if (named?.ino !== held.ino) throw new Error("it was there a moment ago");
    return file;
  } catch (cause) {
    await file.close();
    if (cause instanceof SystemCallError && cause.code !== "EAGAIN") throw cannotWrite(path, cause);
    throw new ReimageError("output", `another reimage pack is writing ${path}`, {
      cause,
      hint: "wait until it has ended, or give another name with --output",
    });
  }
}

async function create(path: string): Promise<FileHandle> {
  return await open(path, "w", 0o666).catch((cause) => {
    throw cannotWrite(path, cause);
  });
}

async function writeAll(file: FileHandle, data: Buffer, path: string): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, null).catch((cause) => {
      throw cannotWrite(path, cause);
    });
    done += bytesWritten;
  }
}

async function sync(file: FileHandle, path: string): Promise<void> {
  await file.sync().catch((cause) => {
    throw cannotWrite(path, cause);
  });
}

function cannotWrite(path: string, cause: unknown): ReimageError {
  return new ReimageError("output", `${path} cannot be written`, {
    cause,
    hint: "check the directory, its permissions and its free space, or give another place with --output",
  });
}
