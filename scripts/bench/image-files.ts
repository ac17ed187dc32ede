/** The files that the contenders read, made from a raw image and kept in build/cache. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type BlockMap, parseBlockMap } from "../../src/image/manifest/block-map.ts";
import { cached, recipeHash, shell } from "../kiosk/cache.ts";
import type { BenchFiles } from "./contenders.ts";

/** The files, and what they say of the image. */
export interface ImageFiles {
  readonly files: BenchFiles;
  readonly map: BlockMap;
  readonly mappedBytes: number;
}

/** Changed when this file makes something else of the same image. */
const recipe = "pack 2";

/** Makes what is not in the cache yet under `name`; says so where it takes long. */
export async function makeImageFiles(image: string, name: string): Promise<ImageFiles> {
  const { size, mtimeMs } = statSync(image);
  const folder = await cached(name, recipeHash([image, String(size), String(mtimeMs), recipe]), async (partial) => {
    console.log("compressing the image; this takes minutes, once");
    const inPartial = (file: string) => join(partial, file);
    await shell`lbzip2 -9 -c ${image} > ${inPartial("image.bz2")}`;
    await pack([inPartial("image.bz2"), "--compress", "keep"]);
    await pack([image, "--compress", "bz2", "--output", inPartial("packed.bz2")]);
    await pack([image, "--compress", "zst", "--output", inPartial("packed.zst")]);
    await leaveUnmapped(inPartial("packed.zst"), inPartial("any.zst"));
    await copyMapped(image, readMap(inPartial("packed.zst.bmap")), inPartial("mapped.bin"));
  });
  const inFolder = (file: string) => join(folder, file);
  const map = readMap(inFolder("packed.zst.bmap"));
  return {
    files: {
      IMG: image,
      BMAP: inFolder("packed.zst.bmap"),
      BZ2: inFolder("image.bz2"),
      PACKED_BZ2: inFolder("packed.bz2"),
      ZST: inFolder("packed.zst"),
      ZST_ANY: inFolder("any.zst"),
      MAPPED: inFolder("mapped.bin"),
    },
    map,
    mappedBytes: map.ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

function readMap(path: string): BlockMap {
  return parseBlockMap(readFileSync(path, "utf8"), path);
}

/** `reimage pack`, as an operator would run it: beside each packed file lie its manifest and its block map. */
export async function pack(parameters: readonly string[]): Promise<void> {
  await shell`${process.execPath} src/main.ts pack ${parameters}`;
}

/** The same file under another name, as `pack --unmapped any` makes it: compressing it once more would give the same. */
async function leaveUnmapped(packed: string, other: string): Promise<void> {
  for (const suffix of ["", ".bmap"]) await shell`ln ${packed}${suffix} ${other}${suffix}`;
  const manifest = readFileSync(`${packed}.manifest.json`, "utf8");
  writeFileSync(`${other}.manifest.json`, manifest.replace('"unmapped": "zero"', '"unmapped": "any"'));
}

/** The mapped ranges, one after the other: what a device that is written at its limit is given. */
async function copyMapped(image: string, map: BlockMap, path: string): Promise<void> {
  await using from = await open(image, "r");
  await using to = await open(path, "wx");
  const buffer = Buffer.alloc(4 << 20);
  for (const { offsetBytes, sizeBytes } of map.ranges) {
    for (let done = 0; done < sizeBytes; ) {
      const wanted = Math.min(buffer.length, sizeBytes - done);
      const { bytesRead } = await from.read(buffer, 0, wanted, offsetBytes + done);
      if (bytesRead === 0) throw new Error(`${image} ended at byte ${offsetBytes + done}`);
      await to.writeFile(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
  }
}
