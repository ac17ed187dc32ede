/** The least machine that can be reimaged: a disk full of something, no old OS; and the least image for it. */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { attachLoopDevice, mountDevice, runTestCommand, temporaryDirectory } from "./loop-device.ts";
import { noise, put } from "./make-disk.ts";
import { makeExt4, partition } from "./micro-kiosk.ts";
import type { Kiosk } from "./open-kiosk.ts";
import { sha256Of } from "./small-kiosk.ts";

const MIB = 1 << 20;
const diskBytes = 16 * MIB;
/** What every byte of the disk is before anything happened to it. */
const oldByte = 0xa5;
const rootMiB = { start: 1, size: 3 } as const;
const program = noise("program of a bare machine", MIB / 8);

/** A raw image of 5 MiB: a root file system, and behind it a partition that ends with noise, up to the last byte. */
export async function makeBareImage(folder: string): Promise<Buffer> {
  const tree = join(folder, "tree");
  mkdirSync(tree);
  put(tree, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  put(tree, "/etc/group", "root:x:0:\n");
  put(tree, "/program", program);
  await makeExt4(join(folder, "root.ext4"), "root", tree, rootMiB.size);
  const data = Buffer.concat([Buffer.alloc((MIB * 3) / 4), noise("data of a bare machine", MIB / 4)]);
  writeFileSync(join(folder, "data"), data);
  const file = join(folder, "bare.img");
  await assembleDisk(file, {
    table: "mbr",
    sizeMiB: 5,
    partitions: [
      partition(1, rootMiB.start, rootMiB.size, "83", join(folder, "root.ext4")),
      partition(2, 4, 1, "83", join(folder, "data")),
    ],
  });
  return readFileSync(file);
}

/** A machine on a loop device of 16 MiB. */
export interface BareMachine extends Kiosk {
  /** Everything that is on the disk. */
  content(): Promise<Buffer>;
  /** Where the disk first differs from what it was before anything happened to it; null where it does not. */
  firstChange(): Promise<number | null>;
  /** Where the disk first differs from a run with `image` that ended well; null where it does not. */
  firstWrong(image: Buffer): Promise<string | null>;
}

export async function openBareMachine(): Promise<BareMachine> {
  await using stack = new AsyncDisposableStack();
  const { dir: directory } = stack.use(await temporaryDirectory());
  const disk = join(directory, "disk.img");
  const oldContent = Buffer.alloc(diskBytes, oldByte);
  writeFileSync(disk, oldContent);
  const loop = await attachLoopDevice(disk, { partscan: true });
  stack.defer(async () => void (await runTestCommand(["losetup", "--detach", loop])));
  const config = join(directory, "reimage.yaml");
  writeFileSync(
    config,
    `image: { source: /nowhere }\ntarget: { disk: path=${loop} }\nold: { root: none }\nnew: { root: 1 }\n`,
  );
  const workDir = join(directory, "work");
  mkdirSync(workDir);

  async function content(): Promise<Buffer> {
    await runTestCommand(["blockdev", "--flushbufs", loop]);
    return readFileSync(disk);
  }
  const owned = stack.move();
  return {
    directory,
    disk,
    loop,
    workDir,
    arguments: ["--config", config, "--work", workDir],
    partition: (number) => `${loop}p${number}`,
    byDevice: {},
    async sha256() {
      await runTestCommand(["blockdev", "--flushbufs", loop]);
      return await sha256Of(disk);
    },
    content,
    firstChange: async () => firstDifference(await content(), oldContent),
    async firstWrong(image) {
      const found = await content();
      // What the run puts into the new root is not the image's: that file system is looked at as such.
      const wrongs: [number, number][] = [
        [0, rootMiB.start * MIB],
        [(rootMiB.start + rootMiB.size) * MIB, image.length],
      ];
      for (const [start, end] of wrongs) {
        const at = firstDifference(found.subarray(start, end), image.subarray(start, end));
        if (at !== null) return `byte ${start + at}`;
      }
      const restOfSector = found.subarray(image.length, Math.ceil(image.length / 512) * 512);
      if (restOfSector.some((byte) => byte !== 0)) return "behind the end, in its last sector";
      return await wrongInRoot(`${loop}p1`);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function wrongInRoot(device: string): Promise<string | null> {
  await runTestCommand(["e2fsck", "-fn", device]);
  await using root = await mountDevice(device, undefined, ["ro"]);
  return readFileSync(join(root.dir, "program")).equals(program) ? null : "the program in the new root";
}

/** Whether the run has begun to write: the first sector is cleared before anything else is written. */
export function isBeingWritten(machine: Kiosk): boolean {
  const sector = Buffer.alloc(512);
  const fd = openSync(machine.loop, "r");
  try {
    readSync(fd, sector, 0, sector.length, 0);
  } finally {
    closeSync(fd);
  }
  return sector.every((byte) => byte === 0);
}

function firstDifference(found: Buffer, wanted: Buffer): number | null {
  if (found.equals(wanted)) return null;
  for (let i = 0; i < wanted.length; i += 1) if (found[i] !== wanted[i]) return i;
  return wanted.length;
}
