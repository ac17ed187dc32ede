/** The lifeboat in unpartitioned space. */
import { probeFileSystem } from "../../disk/find-filesystem.ts";
import { identityOf } from "../../disk/inventory.ts";
import { openPrivately } from "../../disk/private-node.ts";
import { overlapsAny, type Region } from "../../image/regions.ts";
import { bootAlignmentBytes, chooseRegions, describeShortage, usableRegions } from "./choose-regions.ts";
import { findPlaceDisk } from "./find-disk.ts";
import { findGaps } from "./gap-space.ts";
import type { Attempt, GapUndo, PlaceRequest } from "./place.ts";
import { checkInside, readDirect, writeDirect } from "./raw-write.ts";

/**
 * A gap that begins with a file system is not used: it is a deleted partition that somebody may want back, and nobody can
 * be asked. @throws ReimageError `device-io`
 */
export async function claimGap({ disk, table, forbidden, needs }: PlaceRequest): Promise<Attempt> {
  const device = await openPrivately(disk.path); // it is closed after the switch
  try {
    const gaps = findGaps(disk, table, await readDirect(device, disk.sectorSizeBytes, disk.sectorSizeBytes));
    const refusals: string[] = [];
    const free: Region[] = [];
    for (const gap of gaps) {
      const type = await findDeleted(disk.path, gap);
      if (type === null) free.push(gap);
      else
        refusals.push(
          `from byte ${gap.offsetBytes}: a deleted partition (${type}); if nobody wants it back, clear its first MiB`,
        );
    }
    const choice = chooseRegions(usableRegions(free, forbidden, disk.sizeBytes), needs);
    if ("shortage" in choice) {
      await device[Symbol.asyncDispose]();
      return { refusals: [`unpartitioned space: ${describeShortage(choice.shortage)}`, ...refusals] };
    }
    const { boot, bulk } = choice.room;
    return {
      place: {
        kind: "gap",
        description: `unpartitioned space on ${disk.path}`,
        boot,
        bulk,
        undo: { kind: "gap", disk: identityOf(disk), boot, bulk },
        async writeAt(data, offsetBytes) {
          checkInside([boot, ...bulk], data, offsetBytes);
          await writeDirect(device, data, offsetBytes);
        },
        sync: () => device.sync(),
        seal: () => device.sync(),
        keep() {},
        [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
      },
    };
  } catch (error) {
    await device[Symbol.asyncDispose]();
    throw error;
  }
}

/** The type of the file system at the beginning of a gap, or at the first MiB in it, where partitions begin; or null. */
async function findDeleted(path: string, gap: Region): Promise<string | null> {
  const endBytes = gap.offsetBytes + gap.sizeBytes;
  const aligned = Math.ceil(gap.offsetBytes / bootAlignmentBytes) * bootAlignmentBytes;
  for (const offsetBytes of new Set([gap.offsetBytes, aligned])) {
    if (offsetBytes >= endBytes) continue;
    const found = await probeFileSystem(path, { offsetBytes, sizeBytes: endBytes - offsetBytes });
    if (found !== null) return found.type;
  }
  return null;
}

/** Whether a partition lies over it by now, in words, or null. */
export async function checkGap(undo: GapUndo): Promise<string | null> {
  const disk = await findPlaceDisk(undo.disk);
  const over = disk.partitions.find(({ startBytes, sizeBytes }) =>
    overlapsAny({ offsetBytes: startBytes, sizeBytes }, [undo.boot, ...undo.bulk]),
  );
  return over === undefined ? null : `the partition ${over.path} was made where the lifeboat lies`;
}
