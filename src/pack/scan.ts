/** One pass over the raw bytes of an image: its digest, its block map, its partition table. */
import { createHash } from "node:crypto";
import type { BlockMap, MappedRange } from "../image/manifest/block-map.ts";
import { createOutlineCollector, type ImageOutline } from "../image/outline.ts";
import { blockBytes, mapChunk } from "./map-chunk.ts";
import type { Segmenter } from "./segmenter.ts";

/** What one pass tells. */
export interface ScannedImage {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly blockMap: BlockMap;
  readonly outline: ImageOutline;
}

/** Who listens to the pass. */
export interface ScanListener {
  /** Told as soon as the partition table is known; what it throws ends the pass. */
  onOutline(outline: ImageOutline): void;
  /** Told how many more bytes are done. */
  onProgress(bytes: number): void;
}

/**
 * Reads all `chunks`, and hands them on to `segmenter` with what has content in them.
 * @param sectorSizeBytes for an MBR, which does not say its own
 */
export async function scanImage(
  chunks: AsyncIterable<Buffer>,
  sectorSizeBytes: number,
  segmenter: Segmenter | null,
  { onOutline, onProgress }: ScanListener,
): Promise<ScannedImage> {
  const hash = createHash("sha256");
  const ranges: MappedRange[] = [];
  const collector = createOutlineCollector(sectorSizeBytes);
  let outline: ImageOutline | null = null;
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    if (outline === null) {
      collector.accept(chunk);
      if (collector.isComplete()) {
        outline = collector.finish();
        onOutline(outline);
      }
    }
    const regions = mapChunk(chunk);
    for (const { offsetBytes, sizeBytes: lengthBytes } of regions) {
      const content = chunk.subarray(offsetBytes, offsetBytes + lengthBytes);
      const sha256 = createHash("sha256").update(content).digest("hex");
      ranges.push({ offsetBytes: sizeBytes + offsetBytes, sizeBytes: lengthBytes, sha256 });
    }
    await segmenter?.accept(chunk, regions);
    sizeBytes += chunk.length;
    onProgress(chunk.length);
  }
  await segmenter?.finish();
  const blockMap = { imageSizeBytes: sizeBytes, blockSizeBytes: blockBytes, ranges };
  return { sizeBytes, sha256: hash.digest("hex"), blockMap, outline: outline ?? collector.finish() };
}
