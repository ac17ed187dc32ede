/** The outline of an image that a signed manifest vouches for, decoding as little of it as will do. */
import { ReimageError } from "../errors.ts";
import { createOutlineCollector, headBytes, type ImageOutline } from "./outline.ts";
import { largestPieceBytes, matches, type Piece } from "./pieces.ts";
import { type OpenImage, openRawReader } from "./raw-reader.ts";
import { overlapsAny, type Region } from "./regions.ts";

const noData = Buffer.alloc(largestPieceBytes);

/**
 * Reads the partition table and the beginnings of the partitions. Where the image has segments only those are decoded that
 * hold them; else the image is decoded up to the last of them. What has a digest is compared with it first: the image may
 * come from a server that nobody vouches for. What is in no piece is not written, and counts as zeros.
 * @throws ReimageError `image` where it cannot be decoded that far, or is not the image that is vouched for.
 */
export async function readEarlyOutline(
  image: OpenImage,
  pieces: readonly Piece[],
  sectorSizeBytes: number,
): Promise<ImageOutline> {
  if (image.segments === null) return await readPieces(image, pieces, sectorSizeBytes);
  // What is wanted is known only when the table has been read, and of logical partitions only link by link.
  let wanted: Region[] = [{ offsetBytes: 0, sizeBytes: headBytes }];
  for (;;) {
    const touched = pieces.filter((piece) => overlapsAny(piece, wanted));
    const outline = await readPieces(image, touched, sectorSizeBytes);
    const captured = outline.captures.map((c) => ({ offsetBytes: c.startBytes, sizeBytes: c.data.length }));
    wanted = [...wanted, ...captured];
    if (pieces.filter((piece) => overlapsAny(piece, wanted)).length === touched.length) return outline;
  }
}

/** Lets the collector see these pieces until it has seen enough, and zeros in between. */
async function readPieces(image: OpenImage, pieces: readonly Piece[], sectorSizeBytes: number): Promise<ImageOutline> {
  const collector = createOutlineCollector(sectorSizeBytes);
  await using reader = openRawReader(image, pieces);
  const buffer = Buffer.alloc(largestPieceBytes);
  let positionBytes = 0;
  const passTo = (endBytes: number) => {
    while (positionBytes < endBytes && !collector.isComplete()) {
      const zeros = noData.subarray(0, endBytes - positionBytes);
      collector.accept(zeros);
      positionBytes += zeros.length;
    }
  };
  for (const piece of pieces) {
    passTo(piece.offsetBytes);
    if (collector.isComplete()) break;
    const data = buffer.subarray(0, piece.sizeBytes);
    await reader.readAt(data, piece.offsetBytes);
    if (piece.digest !== null && !(await matches(piece.digest, data))) throw notAsVouchedFor(image, piece);
    collector.accept(data);
    positionBytes += data.length;
  }
  passTo(image.sizeBytes);
  return collector.finish();
}

function notAsVouchedFor(image: OpenImage, { offsetBytes, sizeBytes }: Region): ReimageError {
  return new ReimageError(
    "image",
    `image ${image.source.name} is not the one that its manifest vouches for: bytes ${offsetBytes} to ${offsetBytes + sizeBytes} are others`,
    { hint: "copy the image to its server again; where nobody has changed it, do not trust that server" },
  );
}
