/** A small disk that is full of old content, for looking at every byte of it. */
import { type BlockDevice, openBlockDevice } from "../../src/disk/block-device.ts";
import { createLoopDevice } from "./loop-device.ts";

export const diskBytes = 12 << 20;
export const oldContent = Buffer.alloc(diskBytes, 0xa5);

/** A device that is full of old content, open for writing. */
export async function openDisk(sectorSizeBytes = 512) {
  await using stack = new AsyncDisposableStack();
  const loop = stack.use(await createLoopDevice(diskBytes, { sectorSizeBytes }));
  {
    await using filled = await openBlockDevice(loop.path, { write: true, exclusive: true });
    await filled.writeAt(oldContent, 0);
    await filled.sync();
  }
  const device = stack.use(await openBlockDevice(loop.path, { write: true, exclusive: true }));
  const owned = stack.move();
  return { device, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** All that is on the device, not in its cache. */
export async function readAll(device: BlockDevice): Promise<Buffer> {
  const content = Buffer.alloc(device.sizeBytes);
  device.dropCaches();
  await device.readAt(content, 0);
  return content;
}

/** Where two disks first differ; null where they are the same. Said so because nobody wants to see 12 MiB printed. */
export function firstDifference(found: Buffer, wanted: Buffer): number | null {
  if (found.equals(wanted)) return null;
  for (let i = 0; ; i += 1) if (found[i] !== wanted[i]) return i;
}
