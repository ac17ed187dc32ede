/** A small kiosk on a loop device, ready for `reimage plan` and `reimage run`. */
import { writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { attachLoopDevice, runTestCommand, temporaryDirectory } from "./loop-device.ts";
import { addTestPartitions } from "./make-disk.ts";
import { configFor, copySparse, type Layout, sha256Of } from "./small-kiosk.ts";

/** What to open. */
export interface KioskOptions {
  readonly layout: Layout;
  /** The old disk; the kiosk gets a copy. */
  readonly oldDisk: string;
  /** The retention list. */
  readonly list: string;
  /** What stands before the labels of the old disk. */
  readonly labels: string;
  readonly sectorSizeBytes?: number;
  /** Where the copy of the old disk goes, if not into a directory of its own. */
  readonly diskDirectory?: string;
}

/** A kiosk with a configuration and an empty work directory. */
export interface Kiosk extends AsyncDisposable {
  /** A directory that goes away with the kiosk. */
  readonly directory: string;
  /** The file of the disk. */
  readonly disk: string;
  /** The device of the disk. */
  readonly loop: string;
  readonly workDir: string;
  /** `--config` and `--work`. */
  readonly arguments: readonly string[];
  partition(number: number): string;
  /** Configuration that names its file systems by their devices, for when another disk has the same labels. */
  readonly byDevice: Readonly<Record<string, string>>;
  /** sha256 of the disk, with everything that is on its way to it. */
  sha256(): Promise<string>;
}

/** Puts a copy of an old disk on a loop device. */
export async function openKiosk(options: KioskOptions): Promise<Kiosk> {
  await using stack = new AsyncDisposableStack();
  const { dir: directory } = stack.use(await temporaryDirectory());
  const disk = join(options.diskDirectory ?? directory, "disk.img");
  await copySparse(options.oldDisk, disk);
  const sectorSize = options.sectorSizeBytes === undefined ? {} : { sectorSizeBytes: options.sectorSizeBytes };
  const loop = await attachLoopDevice(disk, { partscan: true, ...sectorSize });
  stack.defer(async () => void (await runTestCommand(["losetup", "--detach", loop])));
  await addTestPartitions(loop);
  const config = join(directory, "reimage.yaml");
  writeFileSync(config, configFor(options.layout, options.list, options.labels));
  const workDir = join(directory, "work");
  await mkdir(workDir);
  stack.defer(() => unmountBelow(workDir)); // after a run that was killed, or failed
  const owned = stack.move();
  return {
    directory,
    disk,
    loop,
    workDir,
    arguments: ["--config", config, "--work", workDir],
    partition: (number) => `${loop}p${number}`,
    byDevice: {
      "old.root": `${loop}p2`,
      "old.mounts": `{ /kiosk: ${loop}p${options.layout === "mbr" ? 6 : 4} }`,
    },
    async sha256() {
      await runTestCommand(["blockdev", "--flushbufs", loop]);
      return await sha256Of(disk);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Takes away what a killed run has left mounted. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = await runTestCommand(["findmnt", "--raw", "--noheadings", "--output", "TARGET"]);
  const below = mounts.split("\n").filter((path) => path.startsWith(`${directory}/`));
  for (const path of below.sort().reverse()) await runTestCommand(["umount", path]);
}
