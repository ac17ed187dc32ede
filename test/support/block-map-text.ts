/** Block maps as text, made without the program's own functions. */
import { createHash } from "node:crypto";

const ownDigest = /(<BmapFileChecksum\s*>\s*)([0-9a-f]{64})(?=\s*<)/;

/** The text with the digest of itself, as bmaptool takes it; without a place for the digest, the text as it is. */
export function sealBlockMap(text: string): string {
  const zeroed = text.replace(ownDigest, (_, tag: string) => tag + "0".repeat(64));
  const digest = createHash("sha256").update(zeroed).digest("hex");
  return zeroed.replace(ownDigest, (_, tag: string) => tag + digest);
}

/** The text of a block map with these ranges of blocks, in the shape that bmaptool writes. */
export function blockMapText(
  sizes: { readonly image: number | string; readonly block: number | string; readonly blocks: number | string },
  mapped: number | string,
  ranges: readonly string[],
): string {
  const lines = ranges.map((blocks) => {
    const sha256 = createHash("sha256").update(blocks).digest("hex");
    return `        <Range chksum="${sha256}"> ${blocks} </Range>\n`;
  });
  return sealBlockMap(`<?xml version="1.0" ?>
<!-- This file contains the block map for an image file, <MappedBlocksCount> blocks instead of <BlocksCount> blocks. -->

<bmap version="2.0">
    <!-- Image size in bytes: some -->
    <ImageSize> ${sizes.image} </ImageSize>

    <!-- Size of a block in bytes -->
    <BlockSize> ${sizes.block} </BlockSize>
    <BlocksCount> ${sizes.blocks} </BlocksCount>
    <MappedBlocksCount> ${mapped}    </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <!-- The checksum of this bmap file. -->
    <BmapFileChecksum> ${"0".repeat(64)} </BmapFileChecksum>
    <BlockMap>
${lines.join("")}    </BlockMap>
</bmap>
`);
}
