/** A disk image for `reimage pack`, made without root, with every kind of stretch in it; and what others say of it. */
import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { attachLoopDevice, runTestCommand } from "./loop-device.ts";
import { noise } from "./make-disk.ts";

const MIB = 1 << 20;

export const packImageSizeBytes = 80 * MIB;

/**
 * Makes a sparse image of 80 MiB: two ext4, and a partition with content over several multiples of 16 MiB, zeros that are no
 * hole, and single bytes with gaps around 64 KiB between them.
 */
export async function makePackImage(path: string, table: "gpt" | "mbr", sectorSizeBytes = 512): Promise<void> {
  writeFileSync(path, "");
  truncateSync(path, packImageSizeBytes);
  const perMiB = MIB / sectorSizeBytes;
  const part = (startMiB: number, sizeMiB: number, name: string) =>
    `start=${startMiB * perMiB}, size=${sizeMiB * perMiB}${table === "gpt" ? `, name="${name}"` : ""}`;
  const script =
    table === "gpt"
      ? ["label: gpt", part(1, 8, "new root"), part(9, 4, "data ä"), part(13, 66, "rest")]
      : ["label: dos", part(1, 8, ""), `${part(9, 70, "")}, type=5`, part(10, 4, ""), part(15, 60, "")];
  const stdin = Buffer.from(`${script.join("\n")}\n`);
  await withSectors(path, sectorSizeBytes, (disk) =>
    runTestCommand(["sfdisk", "-q", "--no-tell-kernel", "--no-reread", disk], { stdin }),
  );
  await makeExt4At(path, "packroot", 1, 8);
  await makeExt4At(path, "packdata", table === "gpt" ? 9 : 10, 4);
  const fd = openSync(path, "r+");
  try {
    const put = (data: Buffer, offsetBytes: number) => writeSync(fd, data, 0, data.length, offsetBytes);
    put(noise("content", 22 * MIB), 27 * MIB + 4096 * 3);
    put(Buffer.alloc(3 * MIB), 50 * MIB); // zeros, but no hole
    for (const kib of [0, 63, 64, 128, 196, 260, 325]) put(Buffer.of(1), 56 * MIB + kib * 1024);
    put(noise("straddles a chunk", 64 << 10), 60 * MIB - (32 << 10));
    put(noise("end", 512), 75 * MIB - 512);
  } finally {
    closeSync(fd);
  }
}

/** Sectors of a file have 512 bytes, so other ones need a loop device, and root. */
async function withSectors<T>(path: string, sectorSizeBytes: number, use: (disk: string) => Promise<T>): Promise<T> {
  if (sectorSizeBytes === 512) return await use(path);
  const loop = await attachLoopDevice(path, { sectorSizeBytes });
  try {
    return await use(loop);
  } finally {
    await runTestCommand(["losetup", "--detach", loop]);
  }
}

async function makeExt4At(path: string, label: string, startMiB: number, sizeMiB: number): Promise<void> {
  const offset = `offset=${startMiB * MIB}`;
  await runTestCommand([
    "mke2fs",
    "-q",
    "-F",
    "-t",
    "ext4",
    "-b",
    "4096",
    "-L",
    label,
    "-E",
    offset,
    path,
    `${sizeMiB}M`,
  ]);
}

/** Compresses `image` as `reimage pack` may find it. */
export const packInputs: Readonly<Record<string, (image: string, output: string) => string>> = {
  raw: (image, output) => `cp --sparse=always ${image} ${output}`,
  "raw without holes": (image, output) => `cp --sparse=never ${image} ${output}`,
  "bz2 of lbzip2": (image, output) => `lbzip2 -c ${image} > ${output}`,
  "bz2 in several streams": (image, output) => `pbzip2 -c -p2 ${image} > ${output}`,
  gz: (image, output) => `gzip -1 -c ${image} > ${output}`,
  "gz in two members": (image, output) =>
    `(head -c 30000000 ${image} | gzip -1; tail -c +30000001 ${image} | gzip -1) > ${output}`,
  xz: (image, output) => `xz -0 -c ${image} > ${output}`,
  zst: (image, output) => `zstd -q -1 -c ${image} > ${output}`,
  "zst in two frames": (image, output) =>
    `(head -c 30000000 ${image} | zstd -q -1; tail -c +30000001 ${image} | zstd -q -1) > ${output}`,
};

/** A partition as sfdisk and blkid see it. */
export interface SeenPartition {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly type: string;
  readonly name?: string;
  readonly label?: string;
  readonly uuid?: string;
}

/** The partitions of an image in the words of sfdisk and blkid. */
export async function seePartitions(path: string, sectorSizeBytes = 512): Promise<SeenPartition[]> {
  const { partitiontable } = await withSectors(path, sectorSizeBytes, async (disk) =>
    JSON.parse(await runTestCommand(["sfdisk", "--json", disk])),
  );
  const seen: SeenPartition[] = [];
  for (const { node, start, size, type, name } of partitiontable.partitions) {
    const [startBytes, sizeBytes] = [start * sectorSizeBytes, size * sectorSizeBytes];
    const probed = async (tag: string) => {
      const where = ["-O", String(startBytes), "-S", String(sizeBytes)];
      const command = `blkid -p ${where.join(" ")} -u filesystem -s ${tag} -o value "$0" || [ $? = 2 ]`;
      const value = (await runTestCommand(["sh", "-c", command, path])).trim();
      return value === "" ? {} : { [tag.toLowerCase()]: value };
    };
    seen.push({
      number: Number(/[0-9]+$/.exec(node)?.[0]),
      startBytes,
      sizeBytes,
      type: partitiontable.label === "gpt" ? type.toLowerCase() : type.padStart(2, "0"),
      ...(name === undefined ? {} : { name }),
      ...(type === "5" ? {} : { ...(await probed("LABEL")), ...(await probed("UUID")) }),
    });
  }
  return seen;
}
