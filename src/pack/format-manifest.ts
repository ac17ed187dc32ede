/** The text of a manifest (pure). */
import { ReimageError } from "../errors.ts";
import { LARGEST_MANIFEST_BYTES, type Manifest, parseManifest, type Segment } from "../image/manifest/manifest.ts";

/** What a manifest may list: as many as `parseManifest` takes, and no more than leave room for the rest of it. */
const mostSegments = 2 ** 15;
const mostSegmentsBytes = LARGEST_MANIFEST_BYTES / 2;

/**
 * Writes a manifest: for people to read, with one line a segment. What a reader would refuse is not written.
 * @param fileName what the manifest is called in messages
 * @throws ReimageError `image` where `parseManifest` refuses it: the image has what a manifest cannot say
 */
export function formatManifest(manifest: Manifest, fileName: string): string {
  const { segments, ...rest } = manifest;
  const head = JSON.stringify(rest, null, 2);
  const text = segments === undefined ? `${head}\n` : withSegments(head, formatSegments(segments));
  try {
    parseManifest(text, fileName);
  } catch (cause) {
    throw new ReimageError("image", `the manifest ${fileName} would be refused`, {
      cause,
      hint: "the image has a partition table that no manifest can describe; make it with at most 128 partitions",
    });
  }
  return text;
}

/** Where there are too many, neighbours are listed as one: a reader can leave out less, and decodes the same. */
function formatSegments(segments: readonly Segment[]): string[] {
  const lines = segments.map((segment) => `    ${JSON.stringify(segment)}`);
  const sizeBytes = lines.reduce((sum, line) => sum + line.length, 0);
  if (lines.length <= mostSegments && sizeBytes <= mostSegmentsBytes) return lines;
  return formatSegments(
    segments.flatMap((segment, index) => {
      if (index % 2 === 1) return [];
      const next = segments[index + 1];
      if (next === undefined) return [segment];
      const { sizeBytes, rawSizeBytes } = segment;
      return [{ ...segment, sizeBytes: sizeBytes + next.sizeBytes, rawSizeBytes: rawSizeBytes + next.rawSizeBytes }];
    }),
  );
}

function withSegments(head: string, lines: readonly string[]): string {
  return `${head.slice(0, -"\n}".length)},\n  "segments": [\n${lines.join(",\n")}\n  ]\n}\n`;
}
