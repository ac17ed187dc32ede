/** A small kiosk for the loop tests: an old disk and a new image in the seed's layout, with real file systems. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runTestCommand } from "./loop-device.ts";
import { makeDisk, noise, type PartitionPlan, put } from "./make-disk.ts";

export type Layout = "mbr" | "gpt";

/** The sizes of a disk and its partitions. */
export interface KioskSizes {
  readonly diskMiB: number;
  readonly bootMiB: number;
  readonly rootMiB: number;
  readonly dataMiB: number;
  readonly kioskMiB: number;
}

const defaultImageSizes: KioskSizes = { diskMiB: 128, bootMiB: 15, rootMiB: 48, dataMiB: 16, kioskMiB: 32 };
const defaultDiskSizes: KioskSizes = { diskMiB: 256, bootMiB: 15, rootMiB: 64, dataMiB: 96, kioskMiB: 32 };
/** For tests that run the program often. */
export const tinyImageSizes: KioskSizes = { diskMiB: 40, bootMiB: 3, rootMiB: 20, dataMiB: 4, kioskMiB: 4 };
export const tinyDiskSizes: KioskSizes = { diskMiB: 96, bootMiB: 3, rootMiB: 24, dataMiB: 48, kioskMiB: 4 };

/** The seed's layout: boot, root, and an extended partition with data and kiosk. */
const mbrTable = ({ bootMiB, rootMiB, dataMiB, kioskMiB }: KioskSizes) =>
  [
    "label: dos",
    "label-id: 0x1badcafe",
    `start=1MiB, size=${bootMiB}MiB, type=83, bootable`,
    `size=${rootMiB}MiB, type=83`,
    `4 : start=${1 + bootMiB + rootMiB}MiB, type=5`,
    `size=${dataMiB}MiB, type=83`,
    `size=${kioskMiB}MiB, type=83`,
  ].join("\n");

const gptTable = ({ bootMiB, rootMiB, dataMiB, kioskMiB }: KioskSizes) =>
  [
    "label: gpt",
    `start=1MiB, size=${bootMiB}MiB, type=linux, name=boot`,
    `size=${rootMiB}MiB, type=linux, name=root`,
    `size=${dataMiB}MiB, type=linux, name=data`,
    `size=${kioskMiB}MiB, type=linux, name=kiosk`,
  ].join("\n");

/** What makes the old kiosk that machine. */
export const identity = {
  "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
  "/etc/ssh/ssh_host_ed25519_key": "the old private key\n",
  "/var/lib/kiosk/state.db": "the old state\n",
  "/kiosk/settings": "the old settings\n",
} as const;

function fillOldRoot(root: string): void {
  put(root, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nkiosk:x:1000:1000::/:/bin/sh\n");
  put(root, "/etc/group", "root:x:0:\nkiosk:x:1000:\n");
  put(root, "/etc/os-release", 'ID=debian\nVERSION="old"\n');
  put(root, "/etc/machine-id", identity["/etc/machine-id"], 0o444);
  put(root, "/etc/ssh/ssh_host_ed25519_key", identity["/etc/ssh/ssh_host_ed25519_key"], 0o600);
  put(root, "/var/lib/kiosk/state.db", identity["/var/lib/kiosk/state.db"]);
  execFileSync("chown", ["-R", "1000:1000", join(root, "var/lib/kiosk")]);
  mkdirSync(join(root, "kiosk"), { recursive: true });
}

function fillNewRoot(root: string, programMiB: number): void {
  put(root, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nkiosk:x:2000:2000::/:/bin/sh\n");
  put(root, "/etc/group", "root:x:0:\nkiosk:x:2000:\n");
  put(root, "/etc/os-release", 'ID=debian\nVERSION="new"\n');
  put(root, "/etc/ssh/ssh_host_ed25519_key", "the key of the image\n", 0o644);
  put(root, "/var/lib/kiosk/of-the-new-os", "stays\n");
  put(root, "/usr/bin/program", noise("program", programMiB << 20));
  put(root, "/boot/vmlinuz-6.1", "kernel\n");
  mkdirSync(join(root, "kiosk"), { recursive: true });
}

/** How a new image differs from the usual one. */
export interface ImageOptions {
  readonly sizes?: KioskSizes;
  readonly sectorSizeBytes?: number;
  /** How much of the root file system is filled with what does not compress. */
  readonly programMiB?: number;
  /** What partition `data` holds. */
  readonly data?: PartitionPlan["type"];
  fillKiosk?(directory: string): void;
  fillData?(directory: string): void;
}

/** A raw image of the new system. */
export async function makeNewImage(path: string, layout: Layout, options: ImageOptions = {}): Promise<void> {
  const {
    sizes = defaultImageSizes,
    sectorSizeBytes = 512,
    programMiB = 12,
    data = "ext4",
    fillKiosk,
    fillData,
  } = options;
  const isMbr = layout === "mbr";
  await makeDisk(path, {
    sizeMiB: sizes.diskMiB,
    sectorSizeBytes,
    table: isMbr ? mbrTable(sizes) : gptTable(sizes),
    partitions: [
      { number: 1, type: "ext4", label: "boot" },
      { number: 2, type: "ext4", label: "root", fill: (root) => fillNewRoot(root, programMiB) },
      { number: isMbr ? 5 : 3, type: data, label: "data", ...(fillData === undefined ? {} : { fill: fillData }) },
      {
        number: isMbr ? 6 : 4,
        type: "ext4",
        label: "kiosk",
        ...(fillKiosk === undefined ? {} : { fill: fillKiosk }),
      },
    ],
  });
}

/** What an old disk is made of. */
export interface OldDiskOptions {
  readonly sizes?: KioskSizes;
  readonly sectorSizeBytes?: number;
  /** Before every label, so that no other disk of the machine has it. */
  readonly labels?: string;
  readonly rootType?: "ext4" | "xfs";
  /** Further files of the old root. */
  fillRoot?(root: string): void;
}

/** An old disk, whose data partition holds the files `images` below /images, by their names there. */
export async function makeOldDisk(
  path: string,
  layout: Layout,
  images: Readonly<Record<string, string>>,
  options: OldDiskOptions = {},
): Promise<void> {
  const { sizes = defaultDiskSizes, sectorSizeBytes = 512, labels = "", rootType = "ext4", fillRoot } = options;
  const isMbr = layout === "mbr";
  await makeDisk(path, {
    sizeMiB: sizes.diskMiB,
    sectorSizeBytes,
    table: isMbr ? mbrTable(sizes) : gptTable(sizes),
    partitions: [
      { number: 1, type: "ext4", label: `${labels}boot` },
      {
        number: 2,
        type: rootType,
        label: `${labels}old`,
        fill(root) {
          fillOldRoot(root);
          fillRoot?.(root);
        },
      },
      {
        number: isMbr ? 5 : 3,
        type: "ext4",
        label: `${labels}data`,
        fill(directory) {
          for (const [name, file] of Object.entries(images)) put(directory, `/images/${name}`, readFileSync(file));
        },
      },
      {
        number: isMbr ? 6 : 4,
        type: "ext4",
        label: `${labels}kiosk`,
        fill: (directory) => put(directory, "/settings", identity["/kiosk/settings"], 0o640),
      },
    ],
  });
}

export const retentionList = `# what makes this kiosk this kiosk
@required /etc/machine-id
/etc/ssh/ssh_host_*
/var/lib/kiosk
/kiosk/settings
/etc/not-there
`;

/** The configuration for these disks. */
export function configFor(layout: Layout, listPath: string, labels = ""): string {
  return `
image:
  source: LABEL=${labels}data:/images/os.img.bz2
target:
  disk: old-root
old:
  root: LABEL=${labels}old
  mounts: { /kiosk: LABEL=${labels}kiosk }
new:
  root: 2
  mounts: { /kiosk: ${layout === "mbr" ? 6 : 4} }
retention:
  list: ${listPath}
log: /kiosk/log
`;
}

/** sha256 of a file, in hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece);
  return hash.digest("hex");
}

/** A copy that shares nothing with the original but keeps its holes. */
export async function copySparse(from: string, to: string): Promise<void> {
  await runTestCommand(["cp", "--sparse=always", "--reflink=auto", from, to]);
}
