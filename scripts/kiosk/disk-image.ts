/** Assembles bootable disk images as sparse files, without root, loop devices or mounts. */
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { shell } from "./cache.ts";

const MiB = 1024 * 1024;

/** One partition. `contents` is a file with its file system, not larger than the partition; null leaves it empty. */
export interface PartitionPlan {
  readonly number: number;
  readonly startMiB: number;
  readonly sizeMiB: number;
  /** MBR type in hexadecimal, or the sfdisk name of a GPT type. */
  readonly type: string;
  readonly name?: string;
  readonly contents: string | null;
}

export interface DiskPlan {
  readonly table: "mbr" | "gpt";
  readonly sizeMiB: number;
  readonly partitions: readonly PartitionPlan[];
  /** The MBR disk signature, as 0x…. */
  readonly signature?: string;
  readonly sectorSizeBytes?: number;
  /** Where GRUB finds its grub.cfg, such as `(,msdos1)/grub`; absent: no boot code. MBR only. */
  readonly grubPrefix?: string;
}

/** Writes the disk to `file`. */
export async function assembleDisk(file: string, plan: DiskPlan): Promise<void> {
  rmSync(file, { force: true });
  writeFileSync(file, "");
  truncateSync(file, plan.sizeMiB * MiB);
  const sectorsPerMiB = MiB / (plan.sectorSizeBytes ?? 512);
  const lines = [`label: ${plan.table === "mbr" ? "dos" : "gpt"}`, "unit: sectors"];
  if (plan.signature !== undefined) lines.push(`label-id: ${plan.signature}`);
  for (const p of plan.partitions) {
    const name = p.name === undefined ? "" : `, name="${p.name}"`;
    const range = `start=${p.startMiB * sectorsPerMiB}, size=${p.sizeMiB * sectorsPerMiB}`;
    lines.push(`${p.number} : ${range}, type=${p.type}${name}`);
  }
  const sectorSize = plan.sectorSizeBytes === undefined ? [] : ["--sector-size", String(plan.sectorSizeBytes)];
  await shell({ input: `${lines.join("\n")}\n` })`sfdisk -q ${sectorSize} ${file}`;
  for (const { contents, startMiB } of plan.partitions) {
    if (contents !== null)
      await shell`dd if=${contents} of=${file} bs=1M seek=${startMiB} conv=notrunc,sparse status=none`;
  }
  if (plan.grubPrefix !== undefined) await installBiosGrub(file, plan.grubPrefix);
}

const grubModules = [
  "part_msdos",
  "part_gpt",
  "ext2",
  "fat",
  "normal",
  "linux",
  "configfile",
  "serial",
  "terminal",
  "echo",
  "sleep",
  "reboot",
  "minicmd",
  "test",
  "all_video",
];

/** boot.img's code in front of the partition table; the core image, which it loads from sector 1 on, in the gap. */
async function installBiosGrub(disk: string, prefix: string): Promise<void> {
  const folder = "/usr/lib/grub/i386-pc";
  const core = `${disk}.core`;
  await shell`grub-mkimage -O i386-pc -d ${folder} -p ${prefix} -o ${core} biosdisk ${grubModules}`;
  const coreImage = readFileSync(core);
  rmSync(core);
  if (coreImage.length > MiB - 512) throw new Error("GRUB's core image does not fit before the first partition");
  const fd = openSync(disk, "r+");
  try {
    const CODE_BYTES = 440; // the disk signature and the partition table follow
    writeSync(fd, readFileSync(join(folder, "boot.img")).subarray(0, CODE_BYTES), 0, CODE_BYTES, 0);
    writeSync(fd, coreImage, 0, coreImage.length, 512);
  } finally {
    closeSync(fd);
  }
}

/** A FAT file system of an EFI system partition: GRUB as the default boot program, reading its grub.cfg at `prefix`. */
export async function makeEfiSystemPartition(file: string, sizeMiB: number, prefix: string): Promise<void> {
  const loader = `${file}.efi`;
  await shell`grub-mkimage -O x86_64-efi -p ${prefix} -o ${loader} ${grubModules}`;
  writeFileSync(file, "");
  truncateSync(file, sizeMiB * MiB);
  await shell`mkfs.vfat -n ESP ${file}`;
  await shell`mmd -i ${file} ::/EFI ::/EFI/BOOT`;
  await shell`mcopy -i ${file} ${loader} ::/EFI/BOOT/BOOTX64.EFI`;
  rmSync(loader);
}
