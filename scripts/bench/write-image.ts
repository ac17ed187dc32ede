/**
 * Puts an image onto a block device as stage write does, by the very functions that it calls, and nothing else: no guard,
 * no judging, no restoring. `write-image.ts IMAGE DEVICE [--readback]`; beside the image lie its manifest and its block map.
 */
import { readFileSync } from "node:fs";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { openFileSource } from "../../src/image/byte-source.ts";
import { clearBootSectors, commitHead } from "../../src/image/commit.ts";
import { detectFormat, formatHeadBytes, type ImageFormat } from "../../src/image/formats.ts";
import { type BlockMap, parseBlockMap, unmappedRegions } from "../../src/image/manifest/block-map.ts";
import { parseManifest } from "../../src/image/manifest/manifest.ts";
import { largestPieceBytes, mappedPieces, type Piece } from "../../src/image/pieces.ts";
import { readBack, readbackError } from "../../src/image/readback.ts";
import { type JudgedImage, writePieces } from "../../src/image/write.ts";
import { readAsZero, zeroRegions } from "../../src/image/zeros.ts";

const [imagePath, devicePath, option] = process.argv.slice(2);
if (imagePath === undefined || devicePath === undefined || (option !== undefined && option !== "--readback")) {
  throw new Error("write-image.ts IMAGE DEVICE [--readback]");
}
const manifest = parseManifest(readFileSync(`${imagePath}.manifest.json`, "utf8"), `${imagePath}.manifest.json`);
const map = parseBlockMap(readFileSync(`${imagePath}.bmap`, "utf8"), `${imagePath}.bmap`);
await using source = await openFileSource(imagePath, imagePath);
const image: JudgedImage = {
  source,
  format: await readFormat(imagePath),
  sizeBytes: manifest.raw.sizeBytes,
  sha256: manifest.raw.sha256,
  segments: manifest.segments ?? null,
  pieces: piecesWithDigests(map),
  zeros: manifest.blockMap?.unmapped === "any" ? [] : unmappedRegions(map),
};
const ignore = () => {};

await using device = await openBlockDevice(devicePath, { write: true, exclusive: true });
await clearBootSectors(device);
await zeroRegions(image.zeros, device, ignore);
if (!(await readAsZero(image.zeros, device))) throw new Error(`${devicePath} does not zero what it is told to zero`);
const written = await writePieces(image, image.pieces, device, { skip: [], onProgress: ignore });
if (option === "--readback") {
  const { wrong } = await readBack(image, written, device, ignore);
  if (wrong.length > 0) throw readbackError(devicePath, wrong);
}
await commitHead(device, written.head);

async function readFormat(path: string): Promise<ImageFormat> {
  const head = await Bun.file(path).slice(0, formatHeadBytes).arrayBuffer();
  const format = detectFormat(Buffer.from(head));
  if (format === null) throw new Error(`${path} is no image`);
  return format;
}

/** A range that is one piece brings its digest along; of the others, the whole image has one. */
function piecesWithDigests(blockMap: BlockMap): Piece[] {
  const known = new Map(blockMap.ranges.map((range) => [range.offsetBytes, range]));
  return mappedPieces(blockMap).map((region) => {
    const range = known.get(region.offsetBytes);
    const isWhole = range !== undefined && range.sizeBytes <= largestPieceBytes;
    return { ...region, digest: isWhole ? (`sha256:${range.sha256}` as const) : null };
  });
}
