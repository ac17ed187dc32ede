/** Fills a claimed place: everything is written, and read back by its address on the disk, before anything leads to it. */
import { createHash } from "node:crypto";
import { type BlockDevice, openBlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "../image/byte-source.ts";
import type { Region } from "../image/regions.ts";
import { type BootVolumeRequest, bootVolume } from "../lifeboat/boot-volume/volume.ts";
import { encodeHeader, type LifeboatHeader } from "../lifeboat/header.ts";
import { alignUp, bootLayout, mapBulk } from "../lifeboat/layout.ts";
import type { ClaimedPlace } from "../lifeboat/places/place.ts";
import { encodeRecord, firstRecord, type Parcel } from "../lifeboat/record.ts";
import { createChecksum, digestRegions, type WriteAt, writeRegions } from "../lifeboat/region-io.ts";
import type { SwitchPlan } from "../lifeboat/switch/switch-plan.ts";
import { createProgress } from "../report/progress.ts";
import { type StageContext, step } from "../stages/context.ts";
import { alignedBuffer } from "../system/libc.ts";

const headBytes = 1 << 20;

export interface FillRequest {
  readonly place: ClaimedPlace;
  readonly disk: Disk;
  /** The header, but for what is known only once it is written. */
  readonly described: Omit<LifeboatHeader, "volume" | "image">;
  readonly volume: Region;
  readonly volumeFor: BootVolumeRequest;
  readonly plan: SwitchPlan;
  readonly oldHead: Buffer;
  readonly image: ByteSource;
  /** Of the image when it was judged; null: nothing says it. */
  readonly compressedSha256: string | null;
  readonly context: StageContext;
}

/** @throws ReimageError `lifeboat`, `image` or `device-io`; nothing leads to the lifeboat then. */
export async function fillLifeboat(request: FillRequest): Promise<void> {
  const { place, disk, described, volume, plan, oldHead, image, context } = request;
  const progress = createProgress(context.reporter, "save", "filling the lifeboat", volume.sizeBytes + image.sizeBytes);
  const writeAt: WriteAt = async (data, offsetBytes) => {
    await place.writeAt(data, offsetBytes);
    progress.advance(data.length);
  };
  const { boot } = described;
  const imageRegions = mapBulk(described.bulk, described.layout.image);
  const checksum = createChecksum();
  const volumeParcel = await writeRegions(writeAt, [volume], watched(bootVolume(request.volumeFor), checksum.update));
  const imageParcel = await writeRegions(writeAt, imageRegions, image.read(0, image.sizeBytes));
  if (request.compressedSha256 !== null && imageParcel.sha256 !== request.compressedSha256) {
    throw new ReimageError("image", `image ${image.name} is not the one any more that was judged`, {
      hint: "let nobody change it while the machine is armed, and start again",
    });
  }
  if (plan.entries !== null) await place.writeAt(padded(plan.entries), boot.offsetBytes + bootLayout.tableEntries);
  await place.writeAt(oldHead, boot.offsetBytes + bootLayout.oldHead);
  const header: LifeboatHeader = {
    ...described,
    volume: { ...volume, checksum: checksum.finish() },
    image: { name: image.name, sizeBytes: imageParcel.sizeBytes, sha256: imageParcel.sha256 },
  };
  const headerBlock = encodeHeader(header);
  const first = firstRecord(header.uuid);
  // The same in both copies: one that is damaged before the first boot leaves the other.
  const recordBlocks = [encodeRecord(first), encodeRecord({ ...first, seq: first.seq - 1 })] as const;
  await place.writeAt(headerBlock, boot.offsetBytes + bootLayout.header);
  for (const copy of [0, 1] as const)
    await place.writeAt(recordBlocks[copy], boot.offsetBytes + bootLayout.records[copy]);
  await place.sync();
  progress.done();

  step(context, "save", "reading the lifeboat back");
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  await requireParcel(device, [volume], volumeParcel, "boot volume");
  await requireParcel(device, imageRegions, imageParcel, "image");
  await requireBlock(device, boot.offsetBytes + bootLayout.header, headerBlock);
  for (const copy of [0, 1] as const)
    await requireBlock(device, boot.offsetBytes + bootLayout.records[copy], recordBlocks[copy]);
  await requireBlock(device, boot.offsetBytes + bootLayout.oldHead, oldHead);
  if (plan.entries !== null)
    await requireBlock(device, boot.offsetBytes + bootLayout.tableEntries, padded(plan.entries));
}

async function* watched(source: AsyncIterable<Buffer>, onPiece: (piece: Buffer) => void): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    onPiece(piece);
    yield piece;
  }
}

/** The first MiB of a disk, past the page cache. */
export async function readHead(disk: Disk): Promise<Buffer> {
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  const head = alignedBuffer(headBytes);
  await device.readDirectAt(head, 0);
  return head;
}

async function requireParcel(
  device: BlockDevice,
  regions: readonly Region[],
  parcel: Parcel,
  what: string,
): Promise<void> {
  if ((await digestRegions(device, regions, parcel.sizeBytes)) !== parcel.sha256) throw notThere(device.path, what);
}

async function requireBlock(device: BlockDevice, offsetBytes: number, wanted: Buffer): Promise<void> {
  const found = alignedBuffer(wanted.length);
  await device.readDirectAt(found, offsetBytes);
  const digest = (data: Buffer) => createHash("sha256").update(data).digest("hex");
  if (digest(found) !== digest(wanted)) throw notThere(device.path, "header");
}

function notThere(path: string, what: string): ReimageError {
  return new ReimageError("lifeboat", `${path} does not hold the ${what} of the lifeboat as it was written`, {
    hint: "the disk or its cable is faulty, or the old file system does not keep its blocks in place; the old OS is as it was",
  });
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(alignUp(data.length) - data.length)]);
}
