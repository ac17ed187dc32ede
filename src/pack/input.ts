/** The image that is to be packed: raw or compressed, as a row of chunks of its raw bytes. */
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import { type ByteSource, openFileSource } from "../image/byte-source.ts";
import { openDecoder } from "../image/decode.ts";
import { detectFormat, formatHeadBytes, type ImageFormat } from "../image/formats.ts";
import type { DecodedEndCheck } from "../image/stream-end/scanner.ts";
import { createStreamEndScanner } from "../image/stream-end/stream-end.ts";
import { seekDataOrHole } from "../system/libc.ts";
import { chunkBytes } from "./map-chunk.ts";

/** An image file, known by its content. */
export interface InputImage {
  readonly path: string;
  readonly format: ImageFormat;
  /** Of the file. */
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

const copyAgain = "copy the image again and compare its size and digest with the original";

/** @throws ReimageError `image` where it cannot be opened, is empty, or of no known format. */
export async function readInput(path: string): Promise<InputImage> {
  await using source = await openInput(path);
  const { sizeBytes } = source;
  if (sizeBytes === 0) throw new ReimageError("image", `image ${path} is empty`, { hint: copyAgain });
  const pieces: Buffer[] = [];
  for await (const piece of source.read(0, Math.min(sizeBytes, formatHeadBytes))) pieces.push(Buffer.from(piece));
  const format = detectFormat(Buffer.concat(pieces));
  if (format === null) {
    throw new ReimageError("image", `image ${path} is neither bz2, gz, xz nor zst, nor a raw disk image`, {
      hint: "pack the image of a whole disk, with its partition table",
    });
  }
  return { path, format, sizeBytes, modifiedMs: (await stat(path)).mtimeMs };
}

/** @throws ReimageError `image` where the file is not what it was when it was opened. */
export async function requireUnchanged({ path, sizeBytes, modifiedMs }: InputImage): Promise<void> {
  const now = await stat(path);
  if (now.size === sizeBytes && now.mtimeMs === modifiedMs) return;
  throw new ReimageError("image", `image ${path} was changed while it was packed`, {
    hint: "shut down what writes to it, or pack a copy or a snapshot",
  });
}

/**
 * The raw bytes of the image, in order and without a gap: chunks of 4 MiB, the last of which may be shorter. A chunk is lent
 * until the next one is asked for.
 * @throws ReimageError `image` where the file cannot be read or decoded to its end.
 */
export async function* readChunks(
  { path, format }: InputImage,
  endCheck: DecodedEndCheck | null,
): AsyncGenerator<Buffer> {
  if (format === "raw") return yield* readRawChunks(path);
  await using source = await openInput(path);
  await using decoder = openDecoder(format, source.read(0, source.sizeBytes), path);
  const buffer = Buffer.alloc(chunkBytes);
  for (;;) {
    const readBytes = await decoder.read(buffer).catch((cause) => {
      throw new ReimageError("image", `image ${path} cannot be decoded`, { cause, hint: copyAgain });
    });
    const chunk = buffer.subarray(0, readBytes);
    endCheck?.update(chunk);
    if (readBytes > 0) yield chunk;
    if (readBytes < buffer.length) break;
  }
  await endCheck?.finish(source);
}

/** The digest of a compressed file, and what its decoded bytes have to be asked. */
export async function readCompressed(
  { path, format }: InputImage,
  onProgress: (bytes: number) => void,
): Promise<{ sha256: string; endCheck: DecodedEndCheck | null }> {
  await using source = await openInput(path);
  const hash = createHash("sha256");
  const scanner = createStreamEndScanner(format, path);
  for await (const piece of source.read(0, source.sizeBytes)) {
    hash.update(piece);
    scanner.update(piece);
    onProgress(piece.length);
  }
  return { sha256: hash.digest("hex"), endCheck: scanner.finish() };
}

async function* readRawChunks(path: string): AsyncGenerator<Buffer> {
  await using file = await open(path, "r");
  const { size: sizeBytes } = await file.stat();
  const buffer = Buffer.alloc(chunkBytes);
  const zeros = Buffer.alloc(chunkBytes);
  let dataAtBytes = 0;
  for (let at = 0; at < sizeBytes; at += chunkBytes) {
    const lengthBytes = Math.min(chunkBytes, sizeBytes - at);
    // Where the next data begins is asked for once a stretch, not once a chunk.
    if (dataAtBytes <= at) dataAtBytes = seekDataOrHole(file.fd, at, "data") ?? sizeBytes;
    if (dataAtBytes >= at + lengthBytes) yield zeros.subarray(0, lengthBytes);
    else yield await readExactly(file, buffer.subarray(0, lengthBytes), at, path);
  }
}

async function readExactly(file: FileHandle, buffer: Buffer, offsetBytes: number, path: string): Promise<Buffer> {
  for (let done = 0; done < buffer.length; ) {
    const at = offsetBytes + done;
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, at).catch((cause) => {
      throw new ReimageError("image", `image ${path} cannot be read at byte ${at}`, { cause, hint: copyAgain });
    });
    if (bytesRead === 0) throw new ReimageError("image", `image ${path} ended at byte ${at}`, { hint: copyAgain });
    done += bytesRead;
  }
  return buffer;
}

async function openInput(path: string): Promise<ByteSource> {
  try {
    return await openFileSource(path, path);
  } catch (cause) {
    if (!(cause instanceof ReimageError)) throw cause;
    throw new ReimageError("image", cause.message, { cause: cause.cause, hint: "name the file of a disk image" });
  }
}
