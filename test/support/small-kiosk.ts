/** A small kiosk for the loop tests: an old disk and a new image in the seed's layout, with real file systems. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { attachLoopDevice, mountDevice, runTestCommand } from "./loop-device.ts";

const MIB = 1 << 20;

/** A partition to make: its file system, its label, and what to put into it. */
export interface PartitionPlan {
  readonly number: number;
  readonly type: "ext4" | "xfs" | "btrfs" | "none";
  readonly label?: string;
  fill?(directory: string): void;
}

/** A disk to make. `table` is a script for sfdisk. */
export interface DiskPlan {
  readonly sizeMiB: number;
  readonly table: string;
  readonly partitions: readonly PartitionPlan[];
  readonly sectorSizeBytes?: number;
}

/** The seed's layout: boot, root, and an extended partition with data and kiosk. */
export const mbrTable = (rootMiB: number, dataMiB: number, kioskMiB: number) =>
  [
    "label: dos",
    "label-id: 0x1badcafe",
    "start=1MiB, size=15MiB, type=83, bootable",
    `size=${rootMiB}MiB, type=83`,
    "",
    `start=${16 + rootMiB}MiB, type=5`,
    `size=${dataMiB}MiB, type=83`,
    `size=${kioskMiB}MiB, type=83`,
  ]
    .filter((line) => line !== "")
    .map((line, i) => (i === 4 ? `4 : ${line}` : line))
    .join("\n");

export const gptTable = (rootMiB: number, dataMiB: number, kioskMiB: number) =>
  [
    "label: gpt",
    "start=1MiB, size=15MiB, type=linux, name=boot",
    `size=${rootMiB}MiB, type=linux, name=root`,
    `size=${dataMiB}MiB, type=linux, name=data`,
    `size=${kioskMiB}MiB, type=linux, name=kiosk`,
  ].join("\n");

/** Makes a disk image at `path`. Needs root. */
export async function makeDisk(path: string, plan: DiskPlan): Promise<void> {
  writeFileSync(path, "");
  await truncate(path, plan.sizeMiB * MIB);
  const sectorSize = plan.sectorSizeBytes === undefined ? {} : { sectorSizeBytes: plan.sectorSizeBytes };
  const loop = await attachLoopDevice(path, { partscan: true, ...sectorSize });
  try {
    execFileSync("sfdisk", ["--quiet", "--no-tell-kernel", "--no-reread", loop], { input: plan.table });
    await runTestCommand(["partx", "--add", loop]);
    for (const { number, type, label, fill } of plan.partitions) {
      if (type === "none") continue;
      const device = `${loop}p${number}`;
      const labelling = label === undefined ? [] : ["-L", label];
      await runTestCommand([`mkfs.${type}`, "-q", ...(type === "ext4" ? ["-F"] : ["-f"]), ...labelling, device]);
      if (fill === undefined) continue;
      await using mount = await mountDevice(device);
      fill(mount.dir);
    }
  } finally {
    await runTestCommand(["losetup", "--detach", loop]);
  }
}

/** Writes a file below `root`, with its directories. */
export function put(root: string, path: string, content: string | Buffer, mode = 0o644): void {
  const at = join(root, path);
  mkdirSync(join(at, ".."), { recursive: true });
  writeFileSync(at, content, { mode });
}

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

function fillNewRoot(root: string): void {
  put(root, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nkiosk:x:2000:2000::/:/bin/sh\n");
  put(root, "/etc/group", "root:x:0:\nkiosk:x:2000:\n");
  put(root, "/etc/os-release", 'ID=debian\nVERSION="new"\n');
  put(root, "/etc/ssh/ssh_host_ed25519_key", "the key of the image\n", 0o644);
  put(root, "/var/lib/kiosk/of-the-new-os", "stays\n");
  put(root, "/usr/bin/program", Buffer.concat(Array.from({ length: 200 }, (_, i) => noise(`program${i}`, 65536))));
  put(root, "/boot/vmlinuz-6.1", "kernel\n");
  mkdirSync(join(root, "kiosk"), { recursive: true });
}

/** Bytes that do not compress, always the same. */
export function noise(seed: string, sizeBytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < sizeBytes; i += 1) blocks.push(createHash("sha512").update(`${seed}${i}`).digest());
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

export type Layout = "mbr" | "gpt";

/** A raw image of the new system, 128 MiB. */
export async function makeNewImage(path: string, layout: Layout, sectorSizeBytes = 512): Promise<void> {
  const isMbr = layout === "mbr";
  await makeDisk(path, {
    sizeMiB: 128,
    sectorSizeBytes,
    table: isMbr ? mbrTable(48, 16, 32) : gptTable(48, 16, 32),
    partitions: [
      { number: 1, type: "ext4", label: "boot" },
      { number: 2, type: "ext4", label: "root", fill: fillNewRoot },
      { number: isMbr ? 5 : 3, type: "ext4", label: "data" },
      { number: isMbr ? 6 : 4, type: "ext4", label: "kiosk" },
    ],
  });
}

/** An old disk, 256 MiB, whose data partition holds `imageFile` as /images/os.img.bz2 (or another name). */
export async function makeOldDisk(
  path: string,
  layout: Layout,
  imageFile: string | null,
  options: { readonly sectorSizeBytes?: number; readonly imageName?: string; readonly labels?: string } = {},
): Promise<void> {
  const isMbr = layout === "mbr";
  const prefix = options.labels ?? "";
  await makeDisk(path, {
    sizeMiB: 256,
    ...(options.sectorSizeBytes === undefined ? {} : { sectorSizeBytes: options.sectorSizeBytes }),
    table: isMbr ? mbrTable(64, 96, 32) : gptTable(64, 96, 32),
    partitions: [
      { number: 1, type: "ext4", label: `${prefix}boot` },
      { number: 2, type: "ext4", label: `${prefix}oldroot`, fill: fillOldRoot },
      {
        number: isMbr ? 5 : 3,
        type: "ext4",
        label: `${prefix}data`,
        fill(directory) {
          if (imageFile !== null)
            put(directory, `/images/${options.imageName ?? "os.img.bz2"}`, readFileSync(imageFile));
        },
      },
      {
        number: isMbr ? 6 : 4,
        type: "ext4",
        label: `${prefix}kiosk`,
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
  root: LABEL=${labels}oldroot
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
