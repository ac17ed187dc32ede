/** `<image>.manifest.json`: what the builder of an image says of it. A signature makes it trustworthy (minisign.ts). */
import { z } from "zod";
import { ReimageError } from "../../errors.ts";
import { printable, quote } from "./foreign-text.ts";

const SCHEMA_VERSION = 1;

/** The largest manifest that is read, in bytes: far more than any real one, far less than would trouble the RAM. */
export const LARGEST_MANIFEST_BYTES = 4 * 2 ** 20;

const sizeBytes = z.int("expected a whole number of bytes").min(1, "must be at least 1");
const sha256 = z.string("expected a SHA-256").regex(/^[0-9a-f]{64}$/, "expected 64 lowercase hexadecimal digits");
const text = z.string("expected text").regex(/^[^\0-\x1f\x7f]{1,256}$/, "expected 1 to 256 characters on one line");

/** Of so many wrong fields the first ones are named. */
const NAMED_PROBLEMS = 8;

/** A list is counted before its entries are looked at: each wrong entry takes memory of its own. */
const listOf = <T extends z.ZodType>(entry: T, most: number, expected: string) =>
  z.array(z.unknown(), expected).max(most, `must not have more than ${most} entries`).pipe(z.array(entry));

const texts = listOf(text, 1000, "expected a list of text").refine((list) => list.length > 0, "must not be empty");

const contents = z.strictObject(
  { sizeBytes, sha256 },
  { error: (issue) => (issue.code === "invalid_type" ? "expected an object" : undefined) },
);

type Contents = z.infer<typeof contents>;

/** A stretch of the packed file that can be decoded by itself, and the stretch of the image that it decodes to. */
const segment = z.strictObject({
  offsetBytes: z.int().min(0),
  sizeBytes,
  rawOffsetBytes: z.int().min(0),
  rawSizeBytes: sizeBytes,
});

const partition = z.strictObject({
  number: z.int("expected a partition number").min(1).max(128),
  startBytes: sizeBytes,
  sizeBytes,
  /** The MBR type as two hexadecimal digits, or the GPT type GUID. */
  type: text.optional(),
  name: text.optional(),
  label: text.optional(),
  uuid: text.optional(),
});

const schema = z
  .strictObject({
    schemaVersion: z.literal(SCHEMA_VERSION, `expected ${SCHEMA_VERSION}`),
    /** Which image this is, for people and for boot info. */
    imageId: text,
    /** Counts up with every release of an image: the order of releases without a clock. */
    version: z.int("expected a whole number").min(0, "must not be negative"),
    /** The image as it lies on the disk. */
    raw: contents,
    /** The image as it is packed; equal to `raw` for an image that is not. */
    compressed: contents,
    /** The logical sector size that the partition table was made for. */
    sectorSizeBytes: z.literal([512, 4096], "expected 512 or 4096"),
    leastDiskBytes: sizeBytes.optional(),
    leastRamBytes: sizeBytes.optional(),
    partitionTable: listOf(partition, 128, "expected a list of partitions").optional(),
    /** Machines that the image is for, by their DMI strings; each list names alternatives. */
    hardware: z
      .strictObject({ vendors: texts.optional(), products: texts.optional(), boards: texts.optional() })
      .optional(),
    /**
     * The digest of the block map `<image>.bmap`, and what the image expects where nothing is mapped: zeros, or whatever
     * the disk held before.
     */
    blockMap: z.strictObject({ sha256, unmapped: z.literal(["zero", "any"], "expected zero or any") }).optional(),
    /** How the packed file divides, without gap or overlap, in order; lets a reader leave out what is not mapped. */
    segments: listOf(segment, 2 ** 16, "expected a list of segments")
      .refine((list) => list.length > 0, "must not be empty")
      .optional(),
  })
  .refine((manifest) => manifest.raw.sizeBytes % manifest.sectorSizeBytes === 0, {
    path: ["raw", "sizeBytes"],
    error: "is not a multiple of sectorSizeBytes",
  })
  .refine(({ segments, raw, compressed }) => segments === undefined || areWhole(segments, raw, compressed), {
    path: ["segments"],
    error: "do not cover the image and the packed file, without gap or overlap",
  });

function areWhole(segments: readonly Segment[], raw: Contents, compressed: Contents): boolean {
  let rawBytes = 0;
  let packedBytes = 0;
  for (const { offsetBytes, sizeBytes, rawOffsetBytes, rawSizeBytes } of segments) {
    if (offsetBytes !== packedBytes || rawOffsetBytes !== rawBytes) return false;
    packedBytes += sizeBytes;
    rawBytes += rawSizeBytes;
  }
  return rawBytes === raw.sizeBytes && packedBytes === compressed.sizeBytes;
}

/** A manifest of schema version 1. Sizes and offsets are in bytes. */
export type Manifest = z.infer<typeof schema>;

/** See `segments` of the manifest. */
export type Segment = z.infer<typeof segment>;

/**
 * Parses the text of a manifest (pure). Unknown fields are refused: what this program does not understand it would not
 * obey either.
 * @param fileName what the manifest is called in messages
 * @throws ReimageError code `image`, naming everything that is wrong
 */
export function parseManifest(manifestText: string, fileName: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(manifestText);
  } catch (error) {
    throw new ReimageError("image", `manifest ${fileName} is no JSON`, {
      cause: new Error(printable(String(error))),
      hint: "copy the manifest again, or make it again with reimage pack",
    });
  }
  const version = typeof value === "object" && value !== null && "schemaVersion" in value ? value.schemaVersion : null;
  if (typeof version === "number" && version > SCHEMA_VERSION) {
    throw new ReimageError(
      "image",
      `manifest ${fileName} has schemaVersion ${version}; this reimage understands ${SCHEMA_VERSION}`,
      { hint: "use the reimage release that the image was packed for, or a newer one" },
    );
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const problems = issues.slice(0, NAMED_PROBLEMS).map((issue) => describeIssue(issue, value));
  if (issues.length > NAMED_PROBLEMS) problems.push(`and ${issues.length - NAMED_PROBLEMS} more`);
  throw new ReimageError("image", `manifest ${fileName}: ${problems.join("; ")}`, {
    hint: "make the manifest again with reimage pack",
  });
}

function describeIssue(issue: z.core.$ZodIssue, manifest: unknown): string {
  if (issue.code === "unrecognized_keys") {
    const fields = issue.keys.slice(0, NAMED_PROBLEMS).map((key) => quote([...issue.path, key].join(".")));
    return `unknown field ${fields.join(", ")}${issue.keys.length > NAMED_PROBLEMS ? ", ..." : ""}`;
  }
  const path = issue.path.join(".");
  if (path === "") return "expected a JSON object";
  const value = issue.path.reduce<unknown>((node, name) => Object(node)[name], manifest);
  return value === undefined ? `${path} is missing` : `${path}: ${issue.message}`;
}
