/** A disk with an old OS's partitions on a loop device, and what claiming a place on it needs. Needs root. */
import { open } from "node:fs/promises";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { readDisks } from "../../src/disk/inventory.ts";
import { forgetPartitions } from "../../src/disk/kernel-partitions.ts";
import { type PartitionTable, parsePartitionTable } from "../../src/disk/partition-table.ts";
import type { Region } from "../../src/image/regions.ts";
import type { ClaimedPlace, PlaceRequest } from "../../src/lifeboat/places/place.ts";
import { readDirect } from "../../src/lifeboat/places/raw-write.ts";
import { createLoopDevice, runTestCommand } from "./loop-device.ts";
import { addTestPartitions } from "./make-disk.ts";

const MIB = 1 << 20;

export interface OldDisk extends AsyncDisposable {
  readonly path: string;
  readonly table: PartitionTable;
  /** `/dev/loop0p2` */
  partition(number: number): string;
  /** The facts as they are now. */
  read(): Promise<Disk>;
  /** What `claimPlace` wants to know; the image takes everything up to `imageMiB`. */
  request(imageMiB: number, bootMiB: number, bulkMiB: number, only?: PlaceRequest["only"]): Promise<PlaceRequest>;
}

/** A disk of `sizeMiB` with the table that a script for sfdisk makes. */
export async function createOldDisk(sizeMiB: number, script: string, sectorSizeBytes = 512): Promise<OldDisk> {
  const stack = new AsyncDisposableStack();
  try {
    const loop = stack.use(await createLoopDevice(sizeMiB * MIB, { partscan: true, sectorSizeBytes }));
    await runTestCommand(["sfdisk", "--quiet", "--no-tell-kernel", "--no-reread", loop.path], {
      stdin: Buffer.from(script),
    });
    stack.defer(() => forgetPartitions(loop.path));
    await addTestPartitions(loop.path);
    const table = await readTable(loop.path, sectorSizeBytes);
    const read = async (): Promise<Disk> => {
      const disk = (await readDisks()).find(({ path }) => path === loop.path);
      if (disk === undefined) throw new Error(`${loop.path} is gone`);
      return disk;
    };
    return {
      path: loop.path,
      table,
      partition: (number) => `${loop.path}p${number}`,
      read,
      request: async (imageMiB, bootMiB, bulkMiB, only) => ({
        disk: await read(),
        table,
        forbidden: [{ offsetBytes: 0, sizeBytes: imageMiB * MIB }],
        needs: { bootBytes: bootMiB * MIB, bulkBytes: bulkMiB * MIB },
        ...(only === undefined ? {} : { only }),
      }),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function readTable(path: string, sectorSizeBytes: number): Promise<PartitionTable> {
  await using file = await open(path, "r");
  const size = Number(await runTestCommand(["blockdev", "--getsize64", path]));
  const all = Buffer.alloc(Math.min(size, 1 << 30));
  await file.read(all, 0, all.length, 0);
  const parsed = parsePartitionTable((offset, length) => all.subarray(offset, offset + length), sectorSizeBytes);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  return parsed.table;
}

/** Writes other bytes into every part of a place, synced; `check` reads them from the disk itself. */
export async function fillPlace(place: ClaimedPlace, disk: OldDisk): Promise<{ check(): Promise<boolean> }> {
  const contents = [place.boot, ...place.bulk].map((region) => ({
    region,
    content: distinctBytes(region),
  }));
  for (const { region, content } of contents) {
    for (let done = 0; done < content.length; done += MIB) {
      await place.writeAt(content.subarray(done, done + MIB), region.offsetBytes + done);
    }
  }
  await place.sync();
  return {
    async check() {
      for (const { region, content } of contents) {
        if (!(await readRaw(disk.path, region)).equals(content)) return false;
      }
      return true;
    },
  };
}

/** Each 4 KiB begins with its own address on the disk, and is filled with a byte of it. */
function distinctBytes({ offsetBytes, sizeBytes }: Region): Buffer {
  const content = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 4096) {
    content.fill(((offsetBytes + at) / 4096) % 251, at, at + 4096);
    content.writeBigUInt64LE(BigInt(offsetBytes + at), at);
  }
  return content;
}

/** What the disk itself holds, past every cache. */
export async function readRaw(path: string, { offsetBytes, sizeBytes }: Region): Promise<Buffer> {
  await using device = await openBlockDevice(path, { write: false, exclusive: false });
  return await readDirect(device, offsetBytes, sizeBytes);
}
