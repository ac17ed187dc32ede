/** Who is compared: the commands as they are run and printed. Data. */

/** The files, by the names that the commands use. Beside each packed one lie its manifest and its block map. */
export interface BenchFiles {
  /** The raw image. */
  readonly IMG: string;
  /** Its block map, in bmaptool's format. */
  readonly BMAP: string;
  /** The image as one bz2 stream, as bzip2 or lbzip2 make it. */
  readonly BZ2: string;
  /** The image as `reimage pack` makes bz2, and zst. */
  readonly PACKED_BZ2: string;
  readonly ZST: string;
  /** The same, with a manifest that says that what is not mapped may hold anything. */
  readonly ZST_ANY: string;
  /** The mapped bytes of the image, one after the other. */
  readonly MAPPED: string;
}

export interface Contender {
  readonly name: string;
  /** A command of bash, run with `pipefail`; files, `$DEV` and `$BUN` by environment. */
  readonly command: string;
  /** The file that it reads, which is in the page cache before it starts. */
  readonly reads: keyof BenchFiles;
  /** What the device must hold afterwards: all of the image, its mapped ranges, or (the device's limit) no image at all. */
  readonly leaves: "image" | "mapped ranges" | "no image";
}

/** `UV_THREADPOOL_SIZE` is what the initramfs's init sets. */
const writeImage = (file: keyof BenchFiles, options = ""): string =>
  `UV_THREADPOOL_SIZE=8 "$BUN" scripts/bench/write-image.ts "$${file}" "$DEV"${options}`;

const reimage = (
  name: string,
  reads: keyof BenchFiles,
  leaves: Contender["leaves"] = "image",
): readonly Contender[] => [
  { name: `reimage-${name}`, command: writeImage(reads), reads, leaves },
  { name: `reimage-${name}-readback`, command: writeImage(reads, " --readback"), reads, leaves },
];

const bmaptool = (name: string, reads: keyof BenchFiles): Contender => ({
  name: `bmaptool-${name}`,
  command: `bmaptool -q copy --bmap "$BMAP" "$${reads}" "$DEV"`,
  reads,
  leaves: "mapped ranges",
});

const device = (name: string, flags: string): Contender => ({
  name: `device-${name}`,
  command: `dd if="$MAPPED" of="$DEV" bs=1M ${flags}conv=fsync status=none`,
  reads: "MAPPED",
  leaves: "no image",
});

export const contenders: readonly Contender[] = [
  {
    name: "seed",
    command: 'bzcat "$BZ2" | dd of="$DEV" bs=1M conv=fsync status=none',
    reads: "BZ2",
    leaves: "image",
  },
  {
    name: "lbzip2",
    command: 'lbzip2 -dc "$BZ2" | dd of="$DEV" bs=1M iflag=fullblock conv=fsync status=none',
    reads: "BZ2",
    leaves: "image",
  },
  bmaptool("bz2", "BZ2"),
  bmaptool("zst", "ZST"),
  device("buffered", ""),
  device("direct", "oflag=direct "),
  ...reimage("bz2", "BZ2"),
  ...reimage("packed-bz2", "PACKED_BZ2"),
  ...reimage("zst", "ZST"),
  ...reimage("zst-any", "ZST_ANY", "mapped ranges"),
];

/** The ones that are run on a device of limited speed too. */
export const limitedContenders = contenders.filter(
  ({ name }) => !name.includes("packed") && name !== "device-buffered",
);
