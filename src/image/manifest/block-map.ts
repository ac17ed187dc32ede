/**
 * The block map of an image: which of its bytes matter, with a digest for each range. In the format of bmaptool
 * (https://docs.yoctoproject.org/bmaptool, "bmap 2.0"), so that either program can use the other's.
 */
import { createHash } from "node:crypto";
import { ReimageError } from "../../errors.ts";
import { type Region, subtractRegions } from "../regions.ts";
import { type BlockMapField, type BlockMapXml, parseBlockMapXml } from "./block-map-xml.ts";
import { quote } from "./foreign-text.ts";

/** A stretch of the image that has content. Ranges are in order, and do not overlap; they may touch. */
export interface MappedRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Of the range, in hex. */
  readonly sha256: string;
}

/** Offsets and sizes are whole blocks, but for the end of an image that is not a whole number of blocks. */
export interface BlockMap {
  readonly imageSizeBytes: number;
  readonly blockSizeBytes: number;
  readonly ranges: readonly MappedRange[];
}

/** The largest block map that is read, in bytes: with ranges of 4 MiB, that of an image of 2.5 TiB. */
export const LARGEST_BLOCK_MAP_BYTES = 64 * 2 ** 20;

const smallestBlockBytes = 512;
/** bmaptool copies 1 MiB at a time, and fails where a block is larger. */
const largestBlockBytes = 2 ** 20;
const digest = /^[0-9a-f]{64}$/;
const hint = "make the block map again with reimage pack, or bmaptool create";

/**
 * Parses the text of a block map (pure). Everything in it must agree with everything else; what this program does not
 * understand is refused.
 * @param fileName what the block map is called in messages
 * @throws ReimageError code `image`, naming what is wrong
 */
export function parseBlockMap(text: string, fileName: string): BlockMap {
  const refuse = (problem: string): never => {
    throw new ReimageError("image", `block map ${fileName}: ${problem}`, { hint });
  };
  if (text.length > LARGEST_BLOCK_MAP_BYTES) refuse(`larger than ${LARGEST_BLOCK_MAP_BYTES} bytes`);
  const xml = parseBlockMapXml(text, refuse);
  const type = xml.fields.ChecksumType;
  if (type !== "sha256") refuse(`the type of its checksums is ${quote(type)}; this reimage reads sha256 alone`);
  checkOwnDigest(text, xml.fields.BmapFileChecksum, refuse);

  const number = (field: BlockMapField) => parseNumber(xml.fields[field]) ?? refuse(`<${field}> is no size or count`);
  const judge = (map: BlockMap): BlockMap => {
    const problem = findProblem(map);
    return problem === null ? map : refuse(problem);
  };
  const sizes = { imageSizeBytes: number("ImageSize"), blockSizeBytes: number("BlockSize") };
  judge({ ...sizes, ranges: [] });
  const map = judge({ ...sizes, ranges: parseRanges(xml, sizes, refuse) });
  const blocks = countBlocks(map.imageSizeBytes, map);
  if (number("BlocksCount") !== blocks) refuse(`<BlocksCount> is not ${blocks}, as the sizes of image and block say`);
  const mapped = countMapped(map);
  if (number("MappedBlocksCount") !== mapped) refuse(`<MappedBlocksCount> is not ${mapped}, as the ranges say`);
  return map;
}

/**
 * The text of a block map (pure), as `bmaptool copy` takes it.
 * @throws ReimageError code `bug` where the map is not what its types promise
 */
export function formatBlockMap(map: BlockMap): string {
  const problem = findProblem(map);
  if (problem !== null) throw new ReimageError("bug", `a block map was made wrongly: ${problem}`);
  const blocks = countBlocks(map.imageSizeBytes, map);
  const mapped = countMapped(map);
  const zeros = "0".repeat(64);
  const ranges = map.ranges.map(
    (range) => `    <Range chksum="${range.sha256}"> ${formatBlocks(range, map)} </Range>\n`,
  );
  const text = `<?xml version="1.0" ?>
<!-- The block map of a disk image: the blocks that have content, with a checksum for each range. -->
<bmap version="2.0">
  <ImageSize> ${map.imageSizeBytes} </ImageSize>
  <BlockSize> ${map.blockSizeBytes} </BlockSize>
  <BlocksCount> ${blocks} </BlocksCount>
  <!-- ${((mapped * 100) / blocks).toFixed(1)} % -->
  <MappedBlocksCount> ${mapped} </MappedBlocksCount>
  <ChecksumType> sha256 </ChecksumType>
  <!-- Of this file, with zeros in place of the checksum. -->
  <BmapFileChecksum> ${zeros} </BmapFileChecksum>
  <BlockMap>
${ranges.join("")}  </BlockMap>
</bmap>
`;
  return text.replace(`> ${zeros} <`, `> ${sha256Of(text)} <`);
}

/** The stretches of the image that no range covers (pure): in order, none empty, no two touching. */
export function unmappedRegions(map: BlockMap): Region[] {
  return subtractRegions([{ offsetBytes: 0, sizeBytes: map.imageSizeBytes }], map.ranges);
}

/** The file's digest is that of its text with zeros in place of the digest, wherever in the text that is. */
function checkOwnDigest(text: string, expected: string, refuse: (problem: string) => never): void {
  if (!digest.test(expected)) refuse(`<BmapFileChecksum> is no SHA-256: ${quote(expected)}`);
  const at = text.indexOf(expected);
  // bmaptool takes the first place where it is, whatever that is: there must be no other.
  if (at === -1 || text.includes(expected, at + 1)) refuse("its <BmapFileChecksum> is not there exactly once");
  const found = sha256Of(`${text.slice(0, at)}${"0".repeat(64)}${text.slice(at + 64)}`);
  if (found !== expected) refuse("it was changed or damaged after it was made: its <BmapFileChecksum> does not fit");
}

function parseRanges(
  { ranges }: BlockMapXml,
  { imageSizeBytes, blockSizeBytes }: Omit<BlockMap, "ranges">,
  refuse: (problem: string) => never,
): MappedRange[] {
  return ranges.map(({ blocks, checksum }) => {
    const [first, last] = parseBlocks(blocks) ?? refuse(`${quote(blocks)} is no range of blocks`);
    if (checksum === undefined) refuse(`range ${first}-${last} has no chksum`);
    if (last < first || last * blockSizeBytes >= imageSizeBytes) {
      refuse(`range ${first}-${last} is not inside the image`);
    }
    const offsetBytes = first * blockSizeBytes;
    return {
      offsetBytes,
      sizeBytes: Math.min((last + 1) * blockSizeBytes, imageSizeBytes) - offsetBytes,
      sha256: checksum,
    };
  });
}

/** "first-last", or the number of a single block. */
function parseBlocks(text: string): readonly [first: number, last: number] | null {
  const match = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(text);
  const first = parseNumber(match?.[1] ?? "");
  const last = match?.[2] === undefined ? first : parseNumber(match[2]);
  return first === null || last === null ? null : [first, last];
}

function formatBlocks(range: MappedRange, map: BlockMap): string {
  const first = range.offsetBytes / map.blockSizeBytes;
  const last = countBlocks(range.offsetBytes + range.sizeBytes, map) - 1;
  return first === last ? `${first}` : `${first}-${last}`;
}

function parseNumber(text: string): number | null {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : null;
}

/** What makes this no block map, or null. */
function findProblem(map: BlockMap): string | null {
  const { imageSizeBytes, blockSizeBytes } = map;
  if (!Number.isSafeInteger(imageSizeBytes) || imageSizeBytes < 1) return "the image has no size";
  if (
    !(blockSizeBytes >= smallestBlockBytes && blockSizeBytes <= largestBlockBytes) ||
    Math.log2(blockSizeBytes) % 1 !== 0
  ) {
    return `the block size ${blockSizeBytes} is no power of two from ${smallestBlockBytes} to ${largestBlockBytes}`;
  }
  let end = 0;
  for (const range of map.ranges) {
    const { offsetBytes, sizeBytes, sha256 } = range;
    const next = offsetBytes + sizeBytes;
    const isWhole = offsetBytes % blockSizeBytes === 0 && (next % blockSizeBytes === 0 || next === imageSizeBytes);
    if (!isWhole || !(sizeBytes >= 1)) return `the range at byte ${offsetBytes} is not made of whole blocks`;
    if (!(next <= imageSizeBytes)) return `range ${formatBlocks(range, map)} is not inside the image`;
    if (!(offsetBytes >= end)) return `range ${formatBlocks(range, map)} is not behind the one before it`;
    if (!digest.test(sha256)) return `the chksum of range ${formatBlocks(range, map)} is no SHA-256`;
    end = next;
  }
  return null;
}

/** The blocks that the first `sizeBytes` lie in. */
function countBlocks(sizeBytes: number, { blockSizeBytes }: BlockMap): number {
  return Math.ceil(sizeBytes / blockSizeBytes);
}

function countMapped(map: BlockMap): number {
  return map.ranges.reduce((sum, range) => sum + countBlocks(range.sizeBytes, map), 0);
}

function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
