/** The outline of an image that a signed manifest vouches for, decoding as little of it as will do. */
import { createOutlineCollector, headBytes, type ImageOutline } from "./outline.ts";
import { type OpenImage, openRawReader } from "./raw-reader.ts";
import { type Region, subtractRegions } from "./regions.ts";

const stepBytes = 4 << 20;

/**
 * Reads the partition table and the beginnings of the partitions. Where the image has segments only those are decoded that
 * hold them; else the image is decoded up to the last of them.
 * @throws ReimageError `image` where it cannot be decoded that far.
 */
export async function readEarlyOutline(image: OpenImage, sectorSizeBytes: number): Promise<ImageOutline> {
  if (image.segments === null) return await readFromStart(image, sectorSizeBytes);
  // What is wanted is known only when the table has been read, and of logical partitions only link by link.
  let wanted: Region[] = [{ offsetBytes: 0, sizeBytes: Math.min(headBytes, image.sizeBytes) }];
  for (;;) {
    const outline = await readParts(image, wanted, sectorSizeBytes);
    const captured = outline.captures
      .map(({ startBytes, data }) => ({ offsetBytes: startBytes, sizeBytes: data.length }))
      .map((region) => ({ ...region, sizeBytes: Math.min(region.sizeBytes, image.sizeBytes - region.offsetBytes) }));
    const missing = subtractRegions(captured.filter(({ sizeBytes }) => sizeBytes > 0).reduce(addRegion, []), wanted);
    if (missing.length === 0) return outline;
    wanted = [...wanted, ...missing].sort((a, b) => a.offsetBytes - b.offsetBytes);
  }
}

/** Adds what of `region` is not in `regions` yet. */
function addRegion(regions: Region[], region: Region): Region[] {
  return [...regions, ...subtractRegions([region], regions)];
}

/** Lets the collector see the wanted parts, and zeros in between. */
async function readParts(image: OpenImage, wanted: readonly Region[], sectorSizeBytes: number): Promise<ImageOutline> {
  const collector = createOutlineCollector(sectorSizeBytes);
  await using reader = openRawReader(image, wanted);
  const buffer = Buffer.alloc(stepBytes);
  const zeros = Buffer.alloc(stepBytes);
  let positionBytes = 0;
  const pass = (toBytes: number) => {
    while (positionBytes < toBytes) {
      const piece = zeros.subarray(0, toBytes - positionBytes);
      collector.accept(piece);
      positionBytes += piece.length;
    }
  };
  for (const { offsetBytes, sizeBytes } of wanted) {
    pass(offsetBytes);
    for (const endBytes = offsetBytes + sizeBytes; positionBytes < endBytes; ) {
      const piece = buffer.subarray(0, endBytes - positionBytes);
      await reader.readAt(piece, positionBytes);
      collector.accept(piece);
      positionBytes += piece.length;
    }
  }
  pass(image.sizeBytes);
  return collector.finish();
}

async function readFromStart(image: OpenImage, sectorSizeBytes: number): Promise<ImageOutline> {
  const collector = createOutlineCollector(sectorSizeBytes);
  await using reader = openRawReader(image, []);
  const buffer = Buffer.alloc(stepBytes);
  for (let positionBytes = 0; positionBytes < image.sizeBytes && !collector.isComplete(); ) {
    const piece = buffer.subarray(0, image.sizeBytes - positionBytes);
    await reader.readAt(piece, positionBytes);
    collector.accept(piece);
    positionBytes += piece.length;
  }
  return collector.finish();
}
