/** Disks on which nothing is but a boot volume of the lifeboat, and a small initramfs that says what has reached it. */

import { open, readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { newcArchive } from "../../src/lifeboat/boot-volume/cpio.ts";
import { readLoader } from "../../src/lifeboat/boot-volume/loaders.ts";
import {
  type BootVolumeRequest,
  bootVolume,
  bootVolumeSizeBytes,
  fatTypeByte,
} from "../../src/lifeboat/boot-volume/volume.ts";
import { gptHead, mbrSector, seeded, signHeader } from "../unit/disk/make-tables.ts";

const ESP_TYPE = Buffer.from("28732ac11ff8d211ba4b00a0c93ec93b", "hex");

/** Bytes that no compression makes small. */
export function noise(sizeBytes: number, seed: number): Buffer {
  const next = seeded(seed);
  const data = Buffer.alloc(sizeBytes);
  for (let offset = 0; offset + 4 <= sizeBytes; offset += 4) data.writeUInt32LE(next(2 ** 32), offset);
  return data;
}

/** Says the command line, and then in a line of its own `TESTINIT`, /etc/greeting, and the digest of `filler`; then it powers off. */
export async function talkingInitramfs(filler: Buffer): Promise<Buffer> {
  const init = `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc
$b mount -t proc proc /proc
$b cat /proc/cmdline
echo "TESTINIT $($b cat /etc/greeting) $($b sha256sum < /filler)"
$b poweroff -f
`;
  return newcArchive([
    { path: "/init", content: Buffer.from(init), mode: 0o755 },
    { path: "/bin/busybox", content: await readFile("/bin/busybox"), mode: 0o755 },
    { path: "/filler", content: filler, mode: 0o644 },
  ]);
}

/** Writes a disk with the volume at `startBytes`, and the table and boot code that lead to it. */
export async function writeBootVolumeDisk(path: string, request: BootVolumeRequest, startBytes: number): Promise<void> {
  const { firmware, sectorSizeBytes } = request;
  const sizeBytes = await bootVolumeSizeBytes(request);
  const start = startBytes / sectorSizeBytes;
  const sectors = sizeBytes / sectorSizeBytes;
  await using file = await open(path, "wx");
  await file.truncate(startBytes + sizeBytes + (8 << 20));
  if (firmware === "bios") {
    const head = mbrSector([{ type: await fatTypeByte(request), start, sectors, boot: 0x80 }]);
    (await readLoader("mbr.bin")).copy(head);
    await file.write(head, 0, head.length, 0);
  } else {
    const diskSectors = (await file.stat()).size / sectorSizeBytes;
    const partition = { slot: 1, firstLba: start, lastLba: start + sectors - 1 };
    const head = espHead(gptHead([partition], { sector: sectorSizeBytes, diskSectors }), sectorSizeBytes);
    await file.write(head, 0, head.length, 0);
  }
  let atBytes = startBytes;
  for await (const piece of bootVolume(request)) {
    await file.write(piece, 0, piece.length, atBytes);
    atBytes += piece.length;
  }
}

/** Makes the first partition of a GPT an EFI system partition. */
function espHead(head: Buffer, sectorSizeBytes: number): Buffer {
  const entries = head.subarray(2 * sectorSizeBytes, 2 * sectorSizeBytes + 128 * 128);
  ESP_TYPE.copy(entries);
  head.writeUInt32LE(crc32(entries), sectorSizeBytes + 88);
  signHeader(head, sectorSizeBytes);
  return head;
}
