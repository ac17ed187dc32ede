/** Judges an image file completely, before any disk is touched: is it whole, what does it hold, what vouches for it. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import { createBz2StreamScanner } from "./bz2-streams.ts";
import { decodeTo } from "./decode.ts";
import { detectFormat, formatHeadBytes, type ImageFormat } from "./formats.ts";
import type { Manifest } from "./manifest.ts";
import { createOutlineCollector, type ImageOutline } from "./outline.ts";

/** What to judge, and what for. */
export interface InspectRequest {
  /** The file as it can be opened now. */
  readonly path: string;
  /** The file as the operator calls it, for messages. */
  readonly name: string;
  /** Where a copy goes while the file is read; the copy is then what gets decoded. Null: no copy. */
  readonly copyTo: string | null;
  /** What vouches for the file, if anything does. */
  readonly manifest: Manifest | null;
  readonly target: { readonly sizeBytes: number; readonly sectorSizeBytes: number };
  /** Told what begins and how far it is; see report/progress. */
  startProgress(what: string, totalBytes: number | null): { advance(bytes: number): void; done(): void };
}

/** A whole, decodable image. */
export interface InspectedImage {
  /** The copy, or the file itself. */
  readonly path: string;
  readonly format: ImageFormat;
  readonly compressedSizeBytes: number;
  readonly compressedSha256: string;
  /** Of the raw image. */
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly imageId: string;
  readonly outline: ImageOutline;
}

const readBytes = 4 << 20;
const copyAgain = "copy the image again and compare its size and digest with the original";

/**
 * Reads the file once (copying it where asked), then decodes it: completely where no digest vouches for it, else only as
 * far as its partition table reaches.
 * @throws ReimageError `image` where it is missing, empty, unknown, cut, corrupt, or not what the manifest says;
 * `too-small` where it is larger than the target.
 */
export async function inspectImage(request: InspectRequest): Promise<InspectedImage> {
  const { manifest, name } = request;
  const file = await readFile(request);
  if (manifest !== null) requireVouched(name, file, manifest);
  const path = request.copyTo ?? request.path;
  const decoded = await decode(path, file.format, request);
  return {
    path,
    format: file.format,
    compressedSizeBytes: file.sizeBytes,
    compressedSha256: file.sha256,
    sizeBytes: decoded.sizeBytes,
    sha256: decoded.sha256,
    imageId: manifest?.imageId ?? `sha256:${decoded.sha256}`,
    outline: decoded.outline,
  };
}

interface ReadFile {
  readonly format: ImageFormat;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Opens the image file; how that fails is the first thing an operator gets wrong. */
async function openImage(path: string, name: string) {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new ReimageError("image", `image ${name} cannot be opened`, {
      cause,
      hint: "check image.source, and that the image is where it says",
    });
  }
}

async function readFile({ path, name, copyTo, startProgress }: InspectRequest): Promise<ReadFile> {
  await using input = await openImage(path, name);
  const stats = await input.stat();
  const sizeBytes = stats.size;
  if (!stats.isFile()) throw new ReimageError("image", `image ${name} is not a file`, { hint: "check image.source" });
  if (sizeBytes === 0) throw new ReimageError("image", `image ${name} is empty`, { hint: copyAgain });
  const head = Buffer.alloc(formatHeadBytes);
  const { bytesRead: headLength } = await input.read(head, 0, head.length, 0);
  const format = detectFormat(head.subarray(0, headLength));
  if (format === null) {
    throw new ReimageError("image", `image ${name} is neither bz2, gz, xz nor zst, nor a raw disk image`, {
      hint: "image.source must name the compressed image of a whole disk, with its partition table",
    });
  }
  await using output = copyTo === null ? null : await open(copyTo, "w", 0o600);
  const hash = createHash("sha256");
  const scanner = format === "bz2" ? createBz2StreamScanner(name) : null;
  const buffer = Buffer.alloc(readBytes);
  const progress = startProgress(copyTo === null ? "reading the image" : "copying the image to memory", sizeBytes);
  let doneBytes = 0;
  for (;;) {
    const { bytesRead } = await input.read(buffer, 0, buffer.length, doneBytes).catch((cause) => {
      throw new ReimageError("image", `image ${name} cannot be read at byte ${doneBytes}`, { cause, hint: copyAgain });
    });
    if (bytesRead === 0) break;
    const piece = buffer.subarray(0, bytesRead);
    hash.update(piece);
    scanner?.update(piece);
    for (let written = 0; output !== null && written < bytesRead; ) {
      const result = await output.write(piece, written, bytesRead - written).catch((cause) => {
        throw new ReimageError("memory", `image ${name} does not fit into memory (${copyTo})`, {
          cause,
          hint: "give the machine more memory, or put the image on another disk, where it is not copied",
        });
      });
      written += result.bytesWritten;
    }
    doneBytes += bytesRead;
    progress.advance(bytesRead);
  }
  progress.done();
  if (doneBytes !== sizeBytes) {
    throw new ReimageError("image", `image ${name} ended at byte ${doneBytes} of ${sizeBytes}`, { hint: copyAgain });
  }
  scanner?.finish();
  return { format, sizeBytes, sha256: hash.digest("hex") };
}

function requireVouched(name: string, file: ReadFile, manifest: Manifest): void {
  const { compressed } = manifest;
  if (file.sizeBytes !== compressed.sizeBytes) {
    throw new ReimageError(
      "image",
      `image ${name} has ${file.sizeBytes} bytes; its manifest says ${compressed.sizeBytes}`,
      { hint: copyAgain },
    );
  }
  if (file.sha256 !== compressed.sha256) {
    throw new ReimageError("image", `image ${name} is not the one of its manifest: its sha256 is ${file.sha256}`, {
      hint: copyAgain,
    });
  }
}

/** Decodes, without writing anything anywhere. */
async function decode(path: string, format: ImageFormat, { name, manifest, target, startProgress }: InspectRequest) {
  const collector = createOutlineCollector(target.sectorSizeBytes);
  const hash = manifest === null ? createHash("sha256") : null;
  const progress = hash === null ? null : startProgress("decoding the image once, to judge it", null);
  let doneBytes = 0;
  const { isComplete } = await decodeTo(path, format, (piece) => {
    doneBytes += piece.length;
    hash?.update(piece);
    collector.accept(piece);
    progress?.advance(piece.length);
    if (doneBytes > target.sizeBytes) return false;
    return hash !== null || !collector.isComplete();
  }).catch((cause) => {
    throw new ReimageError("image", `image ${name} cannot be decoded`, { cause, hint: copyAgain });
  });
  progress?.done();
  const sizeBytes = manifest?.raw.sizeBytes ?? doneBytes;
  if (sizeBytes > target.sizeBytes || doneBytes > target.sizeBytes) {
    const size = manifest === null && !isComplete ? `more than ${target.sizeBytes}` : String(sizeBytes);
    throw new ReimageError("too-small", `image ${name} is ${size} bytes, the target disk only ${target.sizeBytes}`, {
      hint: "make a smaller image, or use a larger disk",
    });
  }
  if (isComplete && doneBytes !== sizeBytes) {
    throw new ReimageError("image", `image ${name} decodes to ${doneBytes} bytes; its manifest says ${sizeBytes}`, {
      hint: "make the manifest again from this image",
    });
  }
  if (sizeBytes === 0) {
    throw new ReimageError("image", `image ${name} holds nothing: it decodes to 0 bytes`, { hint: "make it again" });
  }
  return {
    sizeBytes,
    sha256: hash?.digest("hex") ?? (manifest as Manifest).raw.sha256,
    outline: collector.finish(),
  };
}
