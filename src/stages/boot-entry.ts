/**
 * The new OS's entry in the boot menu of UEFI firmware. Most firmware boots a disk without one, but some boots only what its
 * memory names, and goes by the PARTUUID of the old EFI system partition, which is gone after the commit.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { addPartitions, partitionPath } from "../disk/kernel-partitions.ts";
import { mountReadOnly } from "../disk/mounts.ts";
import type { Partition, PartitionTable } from "../disk/partition-table.ts";
import { describeError, ReimageError } from "../errors.ts";
import { bootEntryName, createBootEntry, prependToBootOrder } from "../firmware/boot-entries.ts";
import type { PartitionNode } from "../firmware/device-path.ts";
import { findEspLoader, removableMediaLoader } from "../firmware/esp-loader.ts";
import { type StageContext, step, warn } from "./context.ts";

/** What the firmware's menu shows. Every reimage of a machine changes the one entry of this name: entries do not pile up. */
export const bootEntryDescription = "OS installed by reimage";

/** Starts that may end between the restoring and the commit: some firmware hangs when a variable is written. */
const MOST_ATTEMPTS = 3;

const espTypes = { gpt: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", mbr: "ef" } as const;

/**
 * Makes the entry, and puts it first, just before the commit; network entries that lead stay before it, for a fleet is
 * reinstalled by them. Until the commit no partition has the PARTUUID that it names (or the lifeboat's has, where old and new
 * OS come from the same image), so the firmware goes on to the next entry: the old OS's, which leads to the lifeboat. After
 * it the new OS boots, and no power cut can come in between.
 *
 * The entry of the old OS is left alone, although it may lead nowhere now: firmware passes over it; taking it away before the
 * commit would take away the way back to the lifeboat, and after it nothing tells it from an entry of a disk that is a copy
 * or is not plugged in. There is never more than one such entry: from now on the machine boots by ours.
 *
 * Whatever goes wrong is a warning: the disk may well boot without.
 */
export async function makeBootEntry(target: Disk, table: PartitionTable, context: StageContext): Promise<void> {
  const { bootVariables, lifeboat } = context;
  if (bootVariables === null) return;
  if (lifeboat?.record.state === "restored" && lifeboat.record.attempts > MOST_ATTEMPTS) {
    warn(
      context,
      "restore",
      "the firmware gets no boot entry for the new OS: it may be what kept this machine from the commit",
    );
    return;
  }
  try {
    if ((await bootVariables.names()).length === 0) throw new ReimageError("new-os", "efivarfs is not mounted");
    const chosen = await chooseLoader(target, table, context);
    if (chosen === null) return;
    const description = bootEntryDescription;
    const id = await createBootEntry(bootVariables, { description, ...chosen });
    await prependToBootOrder(bootVariables, id);
    const where = `${chosen.file} on partition ${chosen.partition.number}`;
    step(context, "restore", `the firmware boots this disk by entry ${bootEntryName(id)} now: ${where}`);
  } catch (error) {
    const advice = "where the firmware does not find the new OS by itself, make an entry in its setup";
    warn(context, "restore", `the firmware has no boot entry for the new OS: ${describeError(error)}; ${advice}`);
  }
}

/** The EFI system partitions that a boot entry can name, by number (pure). */
export function namableEsps(table: PartitionTable): PartitionNode[] {
  // Without a signature, every disk that has none would be meant; firmware does not look into an extended partition.
  if (table.type === "mbr" && table.diskId === "00000000") return [];
  const isNamable = ({ type, kind }: Partition): boolean =>
    type === espTypes[table.type] && (kind === "gpt" || kind === "primary");
  return table.partitions
    .filter(isNamable)
    .toSorted((a, b) => a.number - b.number)
    .map(({ number, startBytes, sizeBytes, uuid }) => ({
      ...{ number, uuid },
      startLba: startBytes / table.sectorSizeBytes,
      sectors: sizeBytes / table.sectorSizeBytes,
    }));
}

async function chooseLoader(
  target: Disk,
  table: PartitionTable,
  context: StageContext,
): Promise<{ readonly partition: PartitionNode; readonly file: string } | null> {
  const esps = namableEsps(table);
  const [first] = esps;
  if (first === undefined) {
    const none = "the image has no EFI system partition that a boot entry can name";
    warn(context, "restore", `${none}: the firmware of this machine boots it only if it finds it by itself`);
    return null;
  }
  try {
    await addPartitions(target.path, table); // a run that carries on with the commit alone does not know them yet
    for (const partition of esps) {
      const file = await lookForLoader(partitionPath(target.path, partition.number), context.workDir);
      if (file !== null) return { partition, file };
    }
  } catch (error) {
    const path = removableMediaLoader;
    warn(context, "restore", `the new boot loader cannot be seen, ${path} is assumed: ${describeError(error)}`);
    return { partition: first, file: removableMediaLoader };
  }
  const numbers = esps.map(({ number }) => number).join(", ");
  const none = `the EFI system partition of the new OS (${numbers}) has no ${removableMediaLoader}`;
  warn(context, "restore", `${none}: the firmware boots it only by an entry that is made in its setup`);
  return null;
}

async function lookForLoader(device: string, workDir: string): Promise<string | null> {
  const directory = join(workDir, "mnt", "esp");
  mkdirSync(directory, { recursive: true });
  await using _mount = await mountReadOnly(device, directory, "new-os");
  return await findEspLoader(directory);
}
