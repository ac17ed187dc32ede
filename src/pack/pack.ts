/** The whole of `reimage pack`: one pass over the image, and four files that belong together. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { ReimageError } from "../errors.ts";
import { formatBlockMap } from "../image/manifest/block-map.ts";
import type { Manifest } from "../image/manifest/manifest.ts";
import type { StartProgress } from "../image/progress.ts";
import type { SecretKey } from "../image/signing/minisign-secret-key.ts";
import { signMinisign } from "../image/signing/minisign-sign.ts";
import { createCompressor, type PackedFormat } from "./compressor.ts";
import { formatManifest } from "./format-manifest.ts";
import { type InputImage, readChunks, readCompressed, readInput, requireUnchanged } from "./input.ts";
import {
  defaultPackedName,
  type OpenOutputs,
  type OutputNames,
  openOutputs,
  outputNames,
  requireFree,
} from "./outputs.ts";
import { describePartitions, judgeTable, type TableFacts } from "./partition-facts.ts";
import { type ScannedImage, scanImage } from "./scan.ts";
import { createSegmentWriter, type PackedFile } from "./segment-writer.ts";
import { createSegmenter } from "./segmenter.ts";

/** What to pack, and how. */
export interface PackRequest {
  readonly imagePath: string;
  /** Null: beside the image. */
  readonly outputPath: string | null;
  /** Null: the image stays as it is, and gets what belongs beside it. */
  readonly compression: { readonly format: PackedFormat; readonly level: number } | null;
  /** Null: made of the name and the digest of the image. */
  readonly imageId: string | null;
  readonly version: number;
  /** Null: what a GPT says, or 512. */
  readonly sectorSizeBytes: 512 | 4096 | null;
  /** Null: what the partition table needs. */
  readonly leastDiskBytes: number | null;
  readonly leastRamBytes: number | null;
  readonly hardware: NonNullable<Manifest["hardware"]>;
  readonly unmapped: "zero" | "any";
  /** Null: nothing is signed. A trusted comment that is null is made of the image id and the version. */
  readonly signing: { readonly key: SecretKey; readonly trustedComment: string | null } | null;
  /** Overwrites outputs that are there. */
  readonly force: boolean;
  readonly startProgress: StartProgress;
}

/** What was packed. */
export interface PackResult {
  readonly names: OutputNames;
  readonly manifest: Manifest;
  readonly tableType: "mbr" | "gpt";
  /** How many bytes of the image have content, and in how many ranges. */
  readonly mappedBytes: number;
  readonly rangeCount: number;
  readonly signedBy: string | null;
}

/**
 * Packs an image.
 * @throws ReimageError `image`, `partition-table`, `output`, `usage`, `signature` or `command`; then there is no output.
 */
export async function packImage(request: PackRequest): Promise<PackResult> {
  const { imagePath, compression, signing } = request;
  const input = await readInput(imagePath);
  const keepsImage = compression === null;
  const names = outputNames(
    keepsImage ? imagePath : (request.outputPath ?? defaultPackedName(imagePath, compression.format)),
  );
  await requireFree(names, imagePath, { force: request.force, keepsImage });
  await using outputs = await openOutputs(names, keepsImage);
  const { scanned, packed, table } = await readAndPack(request, input, outputs);
  await requireUnchanged(input);

  const blockMap = formatBlockMap(scanned.blockMap);
  const manifest = await makeManifest(request, names, { scanned, packed, table, blockMap });
  const text = formatManifest(manifest, names.manifest);
  const comment = signing?.trustedComment ?? `image ${manifest.imageId} version ${manifest.version}`;
  const signature = signing === null ? null : signMinisign(signing.key, Buffer.from(text), comment);
  await outputs.commit({ blockMap, manifest: text, signature });
  return {
    names,
    manifest,
    tableType: table.tableType,
    mappedBytes: scanned.blockMap.ranges.reduce((sum, range) => sum + range.sizeBytes, 0),
    rangeCount: scanned.blockMap.ranges.length,
    signedBy: signing?.key.keyId ?? null,
  };
}

interface ReadImage {
  readonly scanned: ScannedImage;
  readonly packed: Omit<PackedFile, "segments"> & { readonly segments: PackedFile["segments"] | null };
  readonly table: TableFacts;
}

async function readAndPack(request: PackRequest, input: InputImage, outputs: OpenOutputs): Promise<ReadImage> {
  const { compression, sectorSizeBytes, startProgress } = request;
  const { path } = input;
  const isRaw = input.format === "raw";
  const reading = isRaw ? null : startProgress("reading the compressed image", input.sizeBytes);
  const file = reading === null ? null : await readCompressed(input, reading.advance);
  reading?.done();

  const rawSizeBytes = isRaw ? input.sizeBytes : null;
  const progress = startProgress(compression === null ? "mapping the image" : "packing the image", rawSizeBytes);
  const judge = (scanned: Pick<ScannedImage, "outline">, sizeBytes: number | null) =>
    judgeTable(scanned.outline, path, sectorSizeBytes, sizeBytes);
  const listener = {
    onOutline: (outline: ScannedImage["outline"]) => void judge({ outline }, rawSizeBytes), // before hours of packing
    onProgress: progress.advance,
  };
  const chunks = readChunks(input, file?.endCheck ?? null);
  if (compression === null) {
    const scanned = await scanImage(chunks, sectorSizeBytes ?? 512, null, listener);
    progress.done();
    const packed = { sizeBytes: input.sizeBytes, sha256: file?.sha256 ?? scanned.sha256, segments: null };
    return { scanned, packed, table: judge(scanned, scanned.sizeBytes) };
  }
  await using writer = createSegmentWriter(createCompressor(compression.format, compression.level), outputs.append);
  const segmenter = createSegmenter(writer.takeBuffer, writer.add);
  const scanned = await scanImage(chunks, sectorSizeBytes ?? 512, segmenter, listener);
  const table = judge(scanned, scanned.sizeBytes);
  const packed = await writer.finish();
  progress.done();
  return { scanned, packed, table };
}

async function makeManifest(
  request: PackRequest,
  names: OutputNames,
  { scanned, packed, table, blockMap }: ReadImage & { readonly blockMap: string },
): Promise<Manifest> {
  const { leastDiskBytes, leastRamBytes, hardware } = request;
  if (leastDiskBytes !== null && leastDiskBytes < table.neededDiskBytes) {
    throw new ReimageError(
      "too-small",
      `--least-disk ${leastDiskBytes} is less than the ${table.neededDiskBytes} bytes that the partitions of ${request.imagePath} need`,
      { hint: "leave out --least-disk, or make the partitions of the image smaller" },
    );
  }
  const name = basename(names.packed).replace(/(\.(bz2|gz|xz|zst|img|raw))+$/i, "");
  return {
    schemaVersion: 1,
    imageId: request.imageId ?? `${name}-${scanned.sha256.slice(0, 12)}`,
    version: request.version,
    raw: { sizeBytes: scanned.sizeBytes, sha256: scanned.sha256 },
    compressed: { sizeBytes: packed.sizeBytes, sha256: packed.sha256 },
    sectorSizeBytes: table.sectorSizeBytes,
    leastDiskBytes: leastDiskBytes ?? table.neededDiskBytes,
    ...(leastRamBytes === null ? {} : { leastRamBytes }),
    partitionTable: await describePartitions(scanned.outline),
    ...(Object.keys(hardware).length === 0 ? {} : { hardware }),
    blockMap: { sha256: createHash("sha256").update(blockMap).digest("hex"), unmapped: request.unmapped },
    ...(packed.segments === null ? {} : { segments: [...packed.segments] }),
  };
}
