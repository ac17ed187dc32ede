/**
 * An image for disks that fail: small, sparse, and mostly in a partition that nobody mounts, so that a test can compare every
 * byte of it. Packed and signed, and plain; on a disk of its own, from which a machine reads it.
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { runCli } from "./cli.ts";
import { runTestCommand } from "./loop-device.ts";
import { noise } from "./make-disk.ts";
import { makeExt4, partition } from "./micro-kiosk.ts";
import type { VmDisk } from "./vm-disk.ts";

const MiB = 1 << 20;

/** From here to its end the image is in no file system: after a run, a disk holds exactly these bytes. */
export const ownBytes = 9 * MiB;
/** In the middle of noise that the image holds. */
export const contentByte = 14 * MiB;
/** As large as the disks that are made for it, which are larger than the image. */
export const faultDiskMiB = 40;
const imageMiB = 32;

/** Where the images are in a machine that has the source disk. */
export const imageSources = {
  signed: "LABEL=faults:/new.img.zst",
  plain: "LABEL=faults:/plain.bz2",
  signedFor4096: "LABEL=faults:/sectors-4096.img.zst",
} as const;

export interface FaultImages {
  /** The raw image. */
  readonly content: Buffer;
  /** The disk with the images. */
  readonly source: VmDisk;
  /** The folder with the signed image, for a web server. */
  readonly folder: string;
  /** The text of the public key. */
  readonly publicKey: string;
}

/** Makes the images in `folder`. */
export async function makeFaultImages(folder: string): Promise<FaultImages> {
  const at = (name: string) => join(folder, name);
  const raw = at("new.img");
  const newRoot = at("new-root");
  mkdirSync(join(newRoot, "etc"), { recursive: true });
  await makeExt4(at("root.ext4"), "new-root", newRoot, 8);
  await assembleDisk(raw, {
    table: "mbr",
    sizeMiB: imageMiB,
    partitions: [partition(1, 1, 8, "83", at("root.ext4")), partition(2, 9, imageMiB - 9, "83", null)],
  });
  await putContent(raw);
  const for4096 = at("sectors-4096.img");
  await makeImageFor4096ByteSectors(for4096, newRoot);
  const keys = ["--secret-key", at("own.key"), "--public-key", at("own.pub")];
  await pack(["--keygen", ...keys]);
  const signing = ["--level", "1", "--secret-key", at("own.key"), "--image-version", "1"];
  await pack([raw, ...signing]);
  await pack([for4096, "--sector-size", "4096", ...signing]);
  await runTestCommand(["lbzip2", "--keep", raw]);

  const tree = at("images");
  mkdirSync(tree);
  renameSync(`${raw}.bz2`, join(tree, "plain.bz2"));
  for (const name of ["new.img", "sectors-4096.img"]) {
    for (const suffix of [".zst", ".zst.manifest.json", ".zst.manifest.json.minisig", ".zst.bmap"]) {
      copyFileSync(at(`${name}${suffix}`), join(tree, `${name}${suffix}`));
    }
  }
  await makeExt4(at("source.ext4"), "faults", tree, 24);
  return {
    content: readFileSync(raw),
    source: { file: at("source.ext4"), format: "raw", bus: "virtio", serial: "SOURCE", readOnly: true },
    folder: tree,
    publicKey: readFileSync(at("own.pub"), "latin1"),
  };
}

/** Content across pieces, with holes of several sizes between, and at the very end. */
async function putContent(raw: string): Promise<void> {
  const put = async (data: Buffer, offsetBytes: number) => {
    const where = [`of=${raw}`, `seek=${offsetBytes}`, "oflag=seek_bytes", "conv=notrunc", "bs=1M", "status=none"];
    await runTestCommand(["dd", ...where], { stdin: data });
  };
  await put(noise("content", 5 * MiB), 12 * MiB);
  for (const kib of [0, 63, 128, 196, 325]) await put(Buffer.of(1), 20 * MiB + kib * 1024);
  await put(noise("straddles a piece", 64 << 10), 24 * MiB - (32 << 10));
  await put(noise("end", 512), imageMiB * MiB - 512);
}

/** A GPT image for disks with sectors of 4096 bytes. @param tree what its root holds */
export async function makeImageFor4096ByteSectors(image: string, tree: string): Promise<void> {
  const fileSystem = `${image}.ext4`;
  await makeExt4(fileSystem, "large-sectors", tree, 12, 4096);
  await runTestCommand(["truncate", "--size=16M", image]);
  const fdisk = Buffer.from("g\nn\n1\n256\n+12M\nw\n"); // from the first MiB on
  await runTestCommand(["fdisk", "--sector-size", "4096", image], { stdin: fdisk });
  await runTestCommand(["dd", `if=${fileSystem}`, `of=${image}`, "bs=1M", "seek=1", "conv=notrunc"]);
}

async function pack(args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runCli(["pack", ...args]);
  if (exitCode !== 0) throw new Error(`reimage pack ended with status ${exitCode}: ${stderr}`);
}
