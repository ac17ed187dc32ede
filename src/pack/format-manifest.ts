/** The text of a manifest (pure). */
import { ReimageError } from "../errors.ts";
import { LARGEST_MANIFEST_BYTES, type Manifest, parseManifest } from "../image/manifest.ts";

/**
 * Writes a manifest: for people to read, with one line a segment. What a reader would refuse is not written.
 * @param fileName what the manifest is called in messages
 * @returns the text. Without `segments` where it would be larger than a reader accepts: they save time, and no more.
 * @throws ReimageError `image` where `parseManifest` refuses it: the image has what a manifest cannot say
 */
export function formatManifest(manifest: Manifest, fileName: string): string {
  const { segments, ...rest } = manifest;
  const head = JSON.stringify(rest, null, 2);
  const whole = segments === undefined ? null : withSegments(head, segments);
  const text = whole !== null && whole.length < LARGEST_MANIFEST_BYTES ? whole : `${head}\n`;
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

function withSegments(head: string, segments: NonNullable<Manifest["segments"]>): string {
  const lines = segments.map((segment) => `    ${JSON.stringify(segment)}`);
  return `${head.slice(0, -"\n}".length)},\n  "segments": [\n${lines.join(",\n")}\n  ]\n}\n`;
}
