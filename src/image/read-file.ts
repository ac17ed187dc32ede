/** Reads an image file once, from its first to its last byte: is it whole, which file is it; and copies it where asked. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { detectFormat, formatHeadBytes, type ImageFormat } from "./formats.ts";
import type { Manifest } from "./manifest/manifest.ts";
import type { StartProgress } from "./progress.ts";
import type { DecodedEndCheck } from "./stream-end/scanner.ts";
import { createStreamEndScanner } from "./stream-end/stream-end.ts";

const copyAgain = "copy the image again and compare its size and digest with the original";

/**
 * The format of the file, by its first bytes.
 * @throws ReimageError `image` where it is empty or none that is known.
 */
export async function readFormat(source: ByteSource): Promise<ImageFormat> {
  if (source.sizeBytes === 0) throw new ReimageError("image", `image ${source.name} is empty`, { hint: copyAgain });
  const head: Uint8Array[] = [];
  for await (const piece of source.read(0, Math.min(formatHeadBytes, source.sizeBytes))) head.push(Buffer.from(piece));
  const format = detectFormat(Buffer.concat(head));
  if (format !== null) return format;
  throw new ReimageError("image", `image ${source.name} is neither bz2, gz, xz nor zst, nor a raw disk image`, {
    hint: "image.source must name the compressed image of a whole disk, with its partition table",
  });
}

/**
 * Reads all of the file, and writes it to `copyTo` where that is not null.
 * @returns its sha256, in hex, and what its decoded bytes have still to be asked.
 * @throws ReimageError `image` where it cannot be read, or does not end where its last stream does; `memory` where there is
 * no room for the copy.
 */
export async function readWholeFile(
  source: ByteSource,
  format: ImageFormat,
  copyTo: string | null,
  startProgress: StartProgress,
): Promise<{ sha256: string; endCheck: DecodedEndCheck | null }> {
  await using output = copyTo === null ? null : await open(copyTo, "w", 0o600);
  const hash = createHash("sha256");
  const scanner = createStreamEndScanner(format, source.name);
  const what = copyTo === null ? "reading the image" : "copying the image to memory";
  const progress = startProgress(what, source.sizeBytes);
  for await (const piece of source.read(0, source.sizeBytes)) {
    hash.update(piece);
    scanner.update(piece);
    if (output !== null) await writeAll(output, piece, source.name, copyTo);
    progress.advance(piece.length);
  }
  progress.done();
  return { sha256: hash.digest("hex"), endCheck: scanner.finish() };
}

async function writeAll(output: FileHandle, piece: Uint8Array, name: string, copyTo: string | null): Promise<void> {
  for (let written = 0; written < piece.length; ) {
    const result = await output.write(piece, written, piece.length - written).catch((cause) => {
      throw new ReimageError("memory", `image ${name} does not fit into memory (${copyTo})`, {
        cause,
        hint: "give the machine more memory, or put the image on another disk, where it is not copied",
      });
    });
    written += result.bytesWritten;
  }
}

/** @throws ReimageError `image` where the file has another size than its manifest says. */
export function requireSize(source: ByteSource, { compressed }: Manifest): void {
  if (source.sizeBytes === compressed.sizeBytes) return;
  throw new ReimageError(
    "image",
    `image ${source.name} has ${source.sizeBytes} bytes; its manifest says ${compressed.sizeBytes}`,
    { hint: copyAgain },
  );
}

/** @throws ReimageError `image` where the file has another digest than its manifest says. */
export function requireDigest(source: ByteSource, sha256: string, { compressed }: Manifest): void {
  if (sha256 === compressed.sha256) return;
  throw new ReimageError("image", `image ${source.name} is not the one of its manifest: its sha256 is ${sha256}`, {
    hint: copyAgain,
  });
}
