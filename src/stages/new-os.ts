/** The new OS, mounted: its root and its further file systems, on the target and nowhere else. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { findFileSystem } from "../disk/find-filesystem.ts";
import type { Disk } from "../disk/inventory.ts";
import { readDisks } from "../disk/inventory.ts";
import { partitionPath } from "../disk/kernel-partitions.ts";
import type { Mount } from "../disk/mounts.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";
import { mountPointBelow } from "./mount-point.ts";

/** The new OS with its further file systems, mounted; disposing unmounts all of it. */
export async function mountNewOs(
  config: Config,
  target: Disk,
  table: PartitionTable,
  workDir: string,
  mount: (device: string, directory: string) => Promise<Mount>,
) {
  const root = join(workDir, "mnt", "new");
  mkdirSync(root, { recursive: true });
  await using mounted = new AsyncDisposableStack();
  const rootDevice = await newDevice(config.new.root, target, table);
  mounted.use(await mount(rootDevice, root));
  if (!existsSync(join(root, "etc"))) {
    throw new ReimageError(
      "new-os",
      `${rootDevice} (new.root: ${config.new.root}) has no /etc: it is not the root of a system`,
      {
        hint: "set new.root to the partition that holds the root, and start again; a root in a btrfs subvolume must be its default one",
      },
    );
  }
  for (const [mountPoint, spec] of Object.entries(config.new.mounts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const directory = await mountPointBelow(root, mountPoint, "new");
    mounted.use(await mount(await newDevice(spec, target, table), directory));
  }
  const kept = mounted.move();
  return { root, rootDevice, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** The device of a partition of the target, by its number in the image's table or by what it holds; on the target only. */
async function newDevice(spec: string, target: Disk, table: PartitionTable): Promise<string> {
  if (/^\d+$/.test(spec)) return partitionPath(target.path, Number(spec));
  const [, tag, value = ""] = /^(PARTLABEL|PARTUUID)=(.*)$/.exec(spec) ?? [];
  if (tag !== undefined) {
    // blkid would ask the table on the disk, which is not there yet.
    const named = table.partitions.filter((partition) =>
      tag === "PARTLABEL" ? partition.name === value : partition.uuid.toLowerCase() === value.toLowerCase(),
    );
    const [partition] = named;
    if (partition !== undefined && named.length === 1) return partitionPath(target.path, partition.number);
    throw new ReimageError("new-os", `${named.length} partitions of the image are ${spec}`, {
      hint: "name the partition by its number in new.root or new.mounts, and start again",
    });
  }
  // Its partitions are those of the new table by now.
  const disks = (await readDisks()).filter((disk) => disk.deviceNumber === target.deviceNumber);
  return (await findFileSystem(spec, { disks, code: "new-os" })).device;
}
