/** What judging an image hands on to the write: pieces, zeros and their digests; and what is refused at once. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFileSource } from "../../../src/image/byte-source.ts";
import { type InspectRequest, inspectImage } from "../../../src/image/inspect.ts";
import type { BlockMap } from "../../../src/image/manifest/block-map.ts";
import type { Manifest } from "../../../src/image/manifest/manifest.ts";

const MIB = 1 << 20;
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const directory = mkdtempSync(join(tmpdir(), "reimage-inspect-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Content in its first half, zeros in the second. */
function makeContent(sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes);
  content.fill("content", 0, sizeBytes >> 1);
  content.set([0x55, 0xaa], 510);
  return content;
}

async function inspect(content: Buffer, changes: Partial<InspectRequest>, sectorSizeBytes = 512) {
  const path = join(directory, "os.img");
  writeFileSync(path, content);
  await using source = await openFileSource(path, "os.img");
  return await inspectImage({
    source,
    copyTo: null,
    parkedSha256: null,
    manifest: null,
    isSigned: false,
    isStreamed: false,
    map: null,
    target: { sizeBytes: 64 * MIB, sectorSizeBytes },
    startProgress: () => ({ advance() {}, done() {} }),
    ...changes,
  });
}

/** A block map of one range, at the beginning of the image. */
function makeMap(content: Buffer, mappedBytes: number, blockSizeBytes = 4096): BlockMap {
  const range = { offsetBytes: 0, sizeBytes: mappedBytes, sha256: sha256(content.subarray(0, mappedBytes)) };
  return { imageSizeBytes: content.length, blockSizeBytes, ranges: [range] };
}

test.each([
  [512, 9 * MIB + 777],
  [512, 9 * MIB + 512],
  [4096, 9 * MIB + 777],
  [4096, 9 * MIB + 512],
])(
  "sectors of %d bytes, an image of %d: what is zeroed is whole sectors, and beside all pieces",
  async (sector, size) => {
    const content = makeContent(size);
    const tail = await inspect(content, { map: makeMap(content, 8 * MIB) }, sector);
    expect(tail.zeros).toEqual([{ offsetBytes: 8 * MIB, sizeBytes: Math.ceil((size - 8 * MIB) / sector) * sector }]);
    const full = await inspect(content, { map: makeMap(content, size) }, sector);
    expect(full.zeros).toEqual([]);
  },
);

test("a block map for more than the disk holds is refused before its ranges are counted out", async () => {
  const content = makeContent(2 * MIB);
  const range = { offsetBytes: 0, sizeBytes: 2 ** 50, sha256: sha256(content) };
  const map = { imageSizeBytes: 2 ** 50, blockSizeBytes: MIB, ranges: [range] };
  await expect(inspect(content, { map })).rejects.toMatchObject({ code: "too-small" });
});

test("where somebody has signed, the digests of pieces are such as nobody can imitate", async () => {
  const content = makeContent(12 * MIB);
  const map = makeMap(content, 8 * MIB); // a range larger than a piece
  const contents = { sizeBytes: content.length, sha256: sha256(content) };
  const manifest: Manifest = {
    schemaVersion: 1,
    imageId: "os",
    version: 1,
    raw: contents,
    compressed: contents,
    sectorSizeBytes: 512,
    blockMap: { sha256: sha256(Buffer.from("the map")), unmapped: "zero" },
  };
  const algorithms = async (changes: Partial<InspectRequest>) => {
    const { pieces } = await inspect(content, { map, manifest, ...changes });
    return [...new Set(pieces.map(({ digest }) => digest?.split(":")[0]))];
  };
  expect(await algorithms({ isSigned: true })).toEqual(["sha256"]);
  expect(await algorithms({ isSigned: true, isStreamed: true })).toEqual(["sha256"]);
  expect(await algorithms({ isSigned: false })).toEqual(["xxh64"]);
});
