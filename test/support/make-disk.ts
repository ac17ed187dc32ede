/** Makes disk images with real partition tables and file systems. Needs root. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { attachLoopDevice, makeFileSystem, mountDevice, runTestCommand } from "./loop-device.ts";

const MIB = 1 << 20;

/** A partition to make: its file system, its label, and what to put into it. */
export interface PartitionPlan {
  readonly number: number;
  readonly type: "ext4" | "xfs" | "btrfs" | "swap" | "none";
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

/** Makes a disk image at `path`. Needs root. */
export async function makeDisk(path: string, plan: DiskPlan): Promise<void> {
  writeFileSync(path, "");
  await truncate(path, plan.sizeMiB * MIB);
  const sectorSize = plan.sectorSizeBytes === undefined ? {} : { sectorSizeBytes: plan.sectorSizeBytes };
  const loop = await attachLoopDevice(path, { partscan: true, ...sectorSize });
  try {
    execFileSync("sfdisk", ["--quiet", "--no-tell-kernel", "--no-reread", loop], { input: plan.table });
    await addTestPartitions(loop);
    for (const { number, type, label, fill } of plan.partitions) {
      if (type === "none") continue;
      const device = `${loop}p${number}`;
      await makeFileSystem(device, type, label === undefined ? {} : { label });
      if (fill === undefined) continue;
      await using mount = await mountDevice(device);
      fill(mount.dir);
    }
  } finally {
    await runTestCommand(["losetup", "--detach", loop]);
  }
}

/** Makes the partitions of a disk known: the kernel of the machine may not be able to read the table by itself. */
export async function addTestPartitions(device: string): Promise<void> {
  const listed = await runTestCommand(["partx", "--show", "--noheadings", "--output", "NR,TYPE", device]);
  for (const line of listed.trim().split("\n")) {
    const [number = "", type = ""] = line.trim().split(/\s+/);
    // Nothing needs the extended one, and partx makes it one KiB long, which is no whole sector on some disks.
    if (type !== "0x5") await runTestCommand(["partx", "--add", "--nr", number, device]);
  }
}

/** Writes a file below `root`, with its directories. */
export function put(root: string, path: string, content: string | Buffer, mode = 0o644): void {
  const at = join(root, path);
  mkdirSync(join(at, ".."), { recursive: true });
  writeFileSync(at, content, { mode });
}

/** Bytes that do not compress, always the same. */
export function noise(seed: string, sizeBytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < sizeBytes; i += 1) blocks.push(createHash("sha512").update(`${seed}${i}`).digest());
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}
