/** The lifeboat in a swap partition, which is taken over. */
import { readFile } from "node:fs/promises";
import { type BlockDevice, openBlockDevice } from "../../disk/block-device.ts";
import type { Disk, DiskPartition } from "../../disk/disk.ts";
import { identityOf } from "../../disk/inventory.ts";
import { listDirectory } from "../../disk/sysfs.ts";
import { describeError, ReimageError } from "../../errors.ts";
import type { Region } from "../../image/regions.ts";
import { formatBytes } from "../../report/format.ts";
import { swapOff, swapOn } from "../../system/libc.ts";
import { parseMemAvailable } from "../../system/memory.ts";
import { readActiveSwaps } from "./active-swaps.ts";
import { chooseRegions, describeShortage, type Room, usableRegions } from "./choose-regions.ts";
import type { Attempt, ClaimedPlace, PlaceRequest, SwapUndo } from "./place.ts";
import { checkInside, readDirect, writeDirect } from "./raw-write.ts";
import { canSwitchOff, isSwapType, refuseSwapPage, type SwapArea, swapPageBytes } from "./swap-area.ts";
import { releaseSwap } from "./swap-release.ts";

/**
 * The first swap partition that will do. Nobody can switch it on again while it is claimed.
 * @throws ReimageError `device-io`
 */
export async function claimSwap(request: PlaceRequest): Promise<Attempt> {
  const { disk, table } = request;
  const on = await readActiveSwaps();
  const refusals: string[] = [];
  for (const partition of disk.partitions) {
    const active = on.get(partition.name) ?? null;
    const entry = table.partitions.find(({ number }) => number === partition.number);
    if (active === null && !isSwapType(entry?.type ?? "")) continue;
    try {
      const answer = await claimPartition(request, partition, active);
      if (typeof answer !== "string") return { place: answer };
      refusals.push(`swap partition ${partition.path}: ${answer}`);
    } catch (error) {
      refusals.push(`swap partition ${partition.path}: ${describeError(error)}`);
    }
  }
  return { refusals: refusals.length > 0 ? refusals : ["swap: there is no swap partition"] };
}

async function claimPartition(
  request: PlaceRequest,
  partition: DiskPartition,
  active: SwapArea | null,
): Promise<ClaimedPlace | string> {
  const { disk, forbidden, needs } = request;
  const holders = await listDirectory(`/sys/class/block/${partition.name}/holders`);
  if (holders.length > 0) return `/dev/${holders.join(", /dev/")} is made of it (encrypted?)`;
  const firstPage = await readFirstPage(disk, partition);
  const refusal = refuseSwapPage(firstPage);
  if (refusal !== null) return refusal;
  const region = { offsetBytes: partition.startBytes, sizeBytes: partition.sizeBytes };
  const choice = chooseRegions(usableRegions([behindFirstPage(region)], forbidden, disk.sizeBytes), needs);
  if ("shortage" in choice) return describeShortage(choice.shortage);
  if (active !== null) {
    const availableBytes = parseMemAvailable(await readFile("/proc/meminfo", "utf8"));
    if (!canSwitchOff(active, availableBytes)) {
      return `${formatBytes(active.usedBytes)} lie in it, and ${formatBytes(availableBytes)} of memory do not hold them`;
    }
    swapOff(partition.path);
  }
  const undo: SwapUndo = {
    kind: "swap",
    disk: identityOf(disk),
    ...choice.room,
    partition: region,
    firstPage: firstPage.toString("base64"),
    wasOn: active !== null,
    priority: active === null || active.priority < 0 ? null : active.priority,
  };
  try {
    const device = await openBlockDevice(partition.path, { write: true, exclusive: true });
    return new SwapPlace(partition, choice.room, undo, device);
  } catch (error) {
    if (active !== null) swapOn(partition.path, undo.priority);
    throw error;
  }
}

function behindFirstPage({ offsetBytes, sizeBytes }: Region): Region {
  return { offsetBytes: offsetBytes + swapPageBytes, sizeBytes: sizeBytes - swapPageBytes };
}

async function readFirstPage(disk: Disk, partition: DiskPartition): Promise<Buffer> {
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  // A partition of an old table may begin at any sector; the sector size divides the page.
  return Buffer.from(await readDirect(device, partition.startBytes, swapPageBytes));
}

/** Holds the partition exclusively, which keeps swapon(8) and everybody else away. */
class SwapPlace implements ClaimedPlace {
  readonly kind = "swap";
  readonly description: string;
  readonly boot: Region;
  readonly bulk: readonly Region[];
  readonly undo: SwapUndo;
  readonly #device: BlockDevice;
  #isKept = false;
  #isSealed = false;

  constructor(partition: DiskPartition, room: Room, undo: SwapUndo, device: BlockDevice) {
    this.description = `the swap partition ${partition.path}`;
    this.boot = room.boot;
    this.bulk = room.bulk;
    this.undo = undo;
    this.#device = device;
  }

  async writeAt(data: Uint8Array, offsetBytes: number): Promise<void> {
    checkInside([this.boot, ...this.bulk], data, offsetBytes);
    if (this.#isSealed) throw new ReimageError("bug", "the lifeboat was sealed, and is written to");
    await writeDirect(this.#device, data, offsetBytes - this.undo.partition.offsetBytes);
  }

  async sync(): Promise<void> {
    await this.#device.sync();
  }

  /** Without its first page no old OS knows it as swap space. Until then a power cut leaves it to be used again. */
  async seal(): Promise<void> {
    await this.sync();
    this.#isSealed = true;
    await writeDirect(this.#device, Buffer.alloc(swapPageBytes), 0);
    await this.sync();
  }

  keep(): void {
    this.#isKept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#device[Symbol.asyncDispose]();
    if (!this.#isKept) await releaseSwap(this.undo);
  }
}
