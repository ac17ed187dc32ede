/**
 * Arming: while the old OS runs, everything is judged, a lifeboat is filled, and then one sector makes the machine boot it.
 * Until that sector is written a power cut leaves the old OS as it was.
 */
import { randomUUID } from "node:crypto";
import type { Config } from "../config/schema.ts";
import type { BlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { readDisks } from "../disk/inventory.ts";
import { readPartitionTable } from "../disk/kernel-partitions.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { withPrivateNode } from "../disk/private-node.ts";
import { ReimageError } from "../errors.ts";
import type { Region } from "../image/regions.ts";
import { writeProven } from "../lifeboat/boot-sectors.ts";
import { type ArchiveFile, newcArchive } from "../lifeboat/boot-volume/cpio.ts";
import { readLoader } from "../lifeboat/boot-volume/loaders.ts";
import { type BootVolumeRequest, bootVolumeSizeBytes, fatTypeByte } from "../lifeboat/boot-volume/volume.ts";
import { readHeaderAt } from "../lifeboat/find.ts";
import { diskIdentity, keepSwitchPlan, type LifeboatHeader } from "../lifeboat/header.ts";
import { bootLayout, layOutBulk } from "../lifeboat/layout.ts";
import { formatLifeboatArgument, formatNote, imagePath, notePath, type WayBack } from "../lifeboat/note.ts";
import { claimPlace } from "../lifeboat/places/claim.ts";
import type { PlaceKind } from "../lifeboat/places/place.ts";
import { requireCommittable } from "../lifeboat/switch/commit.ts";
import { planSwitch } from "../lifeboat/switch/plan.ts";
import type { SwitchPlan } from "../lifeboat/switch/switch-plan.ts";
import { type StageContext, step, warn } from "../stages/context.ts";
import type { Judgement } from "../stages/judge.ts";
import { reopenSource } from "../stages/open-source.ts";
import { factsRoomBytes } from "../stages/parking.ts";
import { alignedBuffer } from "../system/libc.ts";
import { version } from "../version.ts";
import { findBootDoubts, requireBootCode } from "./boot-disk.ts";
import { disarm } from "./disarm.ts";
import { fillLifeboat, readHead } from "./fill.ts";
import type { BootFacts } from "./firmware-checks.ts";
import { keepSwitch, removeKeptNote, writeKeptNote } from "./kept-note.ts";

export interface ArmRequest {
  readonly config: Config;
  readonly judged: Judgement;
  readonly context: StageContext;
  readonly boot: BootFacts;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly commandLine: string;
  /** The configuration and what it names. */
  readonly carried: readonly ArchiveFile[];
  readonly mostAttempts: number;
  readonly only?: PlaceKind;
  readonly stateDir: string;
}

/** What was done, for the operator. */
export interface Armed {
  readonly uuid: string;
  readonly disk: Disk;
  readonly kind: PlaceKind;
  readonly description: string;
  readonly sizeBytes: number;
}

/** @throws ReimageError `lifeboat` where there is no place for it, or it cannot be proven; the old OS is as it was then. */
export async function arm(request: ArmRequest): Promise<Armed> {
  const { judged, context, stateDir } = request;
  const disk = judged.target;
  const uuid = randomUUID();
  const draft = volumeRequest(request, { uuid, offsetBytes: 0, switchOffsetBytes: 0 });
  const volumeBytes = await bootVolumeSizeBytes(draft);
  const { layout, sizeBytes: bulkBytes } = layOutBulk({
    imageBytes: judged.image.compressedSizeBytes,
    retainedBytes: retainedRoomBytes(judged),
    factsBytes: factsRoomBytes(judged.image.pieces.length),
  });
  const oldTable = await readPartitionTable(disk.path);
  if (oldTable === null) throw new ReimageError("lifeboat", `${disk.path} has no partition table that can be put back`);
  await requireNotArmed(disk, oldTable);

  await using unfinished = new AsyncDisposableStack();
  const place = await claimPlace({
    disk,
    table: oldTable,
    forbidden: writtenRegions(judged),
    needs: { bootBytes: bootLayout.volume + volumeBytes, bulkBytes },
    ...(request.only === undefined ? {} : { only: request.only }),
  });
  unfinished.defer(async () => {
    await place[Symbol.asyncDispose](); // where it fails the note stays, for whoever disarms
    removeKeptNote(stateDir);
  });
  step(context, "save", `the lifeboat goes into ${place.description}`);
  const volume: Region = { offsetBytes: place.boot.offsetBytes + bootLayout.volume, sizeBytes: volumeBytes };
  const oldHead = await readHead(disk);
  if (request.boot.firmware === "bios") requireBootCode(disk, oldHead);
  const doubts = await findBootDoubts(request.boot.firmware, disk, judged.image.table, await readDisks());
  for (const doubt of doubts) warn(context, "save", doubt);
  const plan = planSwitch({
    ...{ oldHead, uuid, bootVolume: volume },
    firmware: request.boot.firmware,
    ...{ sectorSizeBytes: disk.sectorSizeBytes, diskSizeBytes: disk.sizeBytes },
    fatTypeByte: await fatTypeByte(draft),
    entriesOffsetBytes: place.boot.offsetBytes + bootLayout.tableEntries,
    espUuid: request.boot.espUuid,
    bootCode: await readLoader("mbr.bin"),
  });
  requireCommittable(plan, judged.image.table);

  const { offsetBytes } = place.boot;
  // From here on a process that is killed leaves what disarming needs to give the place back.
  writeKeptNote(stateDir, { kind: "lifeboat", uuid, offsetBytes, undo: place.undo, switching: keepSwitch(plan) });
  await using stack = new AsyncDisposableStack();
  const image = await reopenSource(request.config, judged.image.location, context, stack);
  const described: Omit<LifeboatHeader, "volume" | "image"> = {
    ...{ uuid, version, layout, oldTable, oldNames: oldNames(judged) },
    disk: diskIdentity(disk),
    firmware: request.boot.firmware,
    ...{ boot: place.boot, bulk: place.bulk, undo: place.undo },
    switching: keepSwitchPlan(plan),
    mostAttempts: request.mostAttempts,
  };
  const volumeFor = volumeRequest(request, { uuid, offsetBytes, switchOffsetBytes: plan.sectorOffsetBytes });
  const { compressedSha256 } = judged.image;
  await fillLifeboat({ place, disk, described, volume, volumeFor, plan, oldHead, image, compressedSha256, context });

  await place.seal();
  place.keep();
  unfinished.move();
  try {
    await using _held = place; // from here on it is only closed, and that once the disk has been switched
    await withPrivateNode(disk.path, (device) => switchOver(device, plan));
  } catch (error) {
    await disarm(stateDir).catch((second: unknown) => {
      throw new SuppressedError(second, error);
    });
    throw error;
  }
  const sizeBytes = [place.boot, ...place.bulk].reduce((sum, region) => sum + region.sizeBytes, 0);
  return { uuid, disk, kind: place.kind, description: place.description, sizeBytes };
}

/** The sector that is kept has to be the one that is overwritten: it is what brings the old OS back. */
async function switchOver(device: BlockDevice, plan: SwitchPlan): Promise<void> {
  const { sectorOffsetBytes: offsetBytes, oldSector, lifeboatSector } = plan;
  const found = alignedBuffer(oldSector.length);
  await device.readDirectAt(found, offsetBytes);
  if (!found.equals(oldSector)) {
    throw new ReimageError(
      "lifeboat",
      "somebody has changed the boot sector of the disk while the lifeboat was filled",
      {
        hint: "let no boot loader be installed and no partition be made meanwhile, and arm again",
      },
    );
  }
  await writeProven(device, { offsetBytes, data: lifeboatSector });
}

/** The note of an earlier arming may be gone while the disk boots its lifeboat: that one's table is not the old one. */
async function requireNotArmed(disk: Disk, table: PartitionTable): Promise<void> {
  for (const { startBytes } of table.partitions) {
    if ((await readHeaderAt(disk, startBytes - bootLayout.volume)) === null) continue;
    throw new ReimageError("lifeboat", `${disk.path} boots a lifeboat already`, {
      hint: "restart the machine: it carries on, or brings the old system back",
    });
  }
}

/** @param address of the lifeboat, which does not change the size of the volume. */
function volumeRequest(request: ArmRequest, address: Omit<WayBack, "sectorSizeBytes">): BootVolumeRequest {
  const { boot, judged, carried, kernelPath, initramfsPath } = request;
  const { uuid } = address;
  const { sectorSizeBytes } = judged.target;
  const vouching = judged.vouching.map(({ suffix, data }) => ({
    path: `${imagePath}${suffix}`,
    content: data,
    mode: 0o600,
  }));
  const note = { path: notePath, content: Buffer.from(formatNote(address)), mode: 0o600 };
  return {
    firmware: boot.firmware,
    sectorSizeBytes: sectorSizeBytes === 4096 ? 4096 : 512,
    ...{ kernelPath, initramfsPath, uuid },
    commandLine: `${formatLifeboatArgument({ ...address, sectorSizeBytes })} ${request.commandLine}`,
    configArchive: newcArchive([...carried, ...vouching, note]),
    loaderPaths: boot.loaderPaths,
    ...(boot.loaderPath === null ? {} : { loaderPath: boot.loaderPath }),
  };
}

/**
 * What the new image writes: its content, what is cleared beside it, and its partitions, into whose file systems the
 * retained files are restored while the lifeboat is still needed.
 */
function writtenRegions({ image }: Judgement): Region[] {
  const partitions = image.table.partitions.map(({ startBytes, sizeBytes }) => ({
    offsetBytes: startBytes,
    sizeBytes,
  }));
  return [...image.pieces, ...image.zeros, ...partitions];
}

/** The archive, with a header and a line of its index for each file, and what they may grow by until the machine is booted. */
function retainedRoomBytes({ retained }: Judgement): number {
  if (retained === null) return 0;
  return Math.ceil(retained.totalBytes * 1.1) + retained.count * 4096 + (8 << 20);
}

/** PARTUUID= and PARTLABEL= are found in the table on the disk, and device names change: those partitions go by number. */
function oldNames({ oldFileSystems, target }: Judgement): Record<string, number> {
  const names: Record<string, number> = {};
  for (const { spec, found } of oldFileSystems) {
    if (/^(LABEL|UUID)=/.test(spec) || found.partitionNumber === null) continue;
    if (found.disk?.deviceNumber === target.deviceNumber) names[spec] = found.partitionNumber;
  }
  return names;
}
