/**
 * The disks of the sweep: an old system, and the image of a new one. Each has a FAT partition that the firmware boots
 * (syslinux, or systemd-boot) with kernel and initrd, and a root of ext4. Needs no root.
 */
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { shell } from "../../kiosk/cache.ts";
import { assembleDisk } from "../../kiosk/disk-image.ts";
import type { SystemLayout } from "../disk-check.ts";
import { assembleGptDisk } from "./gpt-disk.ts";
import type { SmallKernel } from "./kernel.ts";

export type Place = "gap" | "swap" | "file";

export interface SmallDiskPlan {
  readonly firmware: "bios" | "uefi";
  readonly sectorSizeBytes: 512 | 4096;
  readonly system: "old" | "new";
  /** Sizes in MiB. The rest of the disk is a gap. */
  readonly diskMiB: number;
  readonly rootMiB: number;
  readonly swapMiB?: number;
  /** The boot loader of a machine with UEFI; Debian's systemd-boot unless given. */
  readonly loader?: string;
  /** What else is on the root file system: called with the folder that becomes its root. */
  fillRoot?(tree: string): Promise<void>;
}

/** Partition 1 begins after the first MiB. */
export const bootMiB = 24;
export const rootStartMiB = 1 + bootMiB;

/** Old and new, all of them. What makes a machine this machine does not last. */
export const smallLayout: SystemLayout = {
  ...{ bootMiB, rootStartMiB, furtherStartMiB: [] },
  lasting: "^/(?!etc/machine-id$|etc/ssh(/|$)|var/lib/kiosk(/|$))",
  attribute: { path: "/var/lib/kiosk/journal.db", name: "user.site", value: "42" },
};

/** Saves time in every boot under emulation; none of it has to do with disks. The kernel says when it has found one (../snapshot.ts). */
export const quickKernelArguments =
  "loglevel=6 mitigations=off nokaslr audit=0 cryptomgr.notests tsc=reliable no_timer_check random.trust_cpu=on";

/** Makes a disk at `path`. */
export async function makeSmallDisk(path: string, kernel: SmallKernel, plan: SmallDiskPlan): Promise<void> {
  const work = `${path}.work`;
  mkdirSync(join(work, "tree"), { recursive: true });
  try {
    await makeRoot(work, plan);
    await makeBootPartition(join(work, "boot.fat"), kernel, plan);
    const { swapMiB = 0, rootMiB } = plan;
    const isMbr = plan.firmware === "bios";
    const partitions = [
      { number: 1, startMiB: 1, sizeMiB: bootMiB, type: isMbr ? "e" : "uefi", contents: join(work, "boot.fat") },
      {
        number: 2,
        startMiB: rootStartMiB,
        sizeMiB: rootMiB,
        type: isMbr ? "83" : "linux",
        contents: join(work, "root.ext4"),
      },
    ];
    if (swapMiB > 0) {
      const swap = join(work, "swap");
      makeEmpty(swap, swapMiB);
      await shell`mkswap ${swap}`;
      const startMiB = rootStartMiB + rootMiB;
      partitions.push({ number: 3, startMiB, sizeMiB: swapMiB, type: isMbr ? "82" : "swap", contents: swap });
    }
    const disk = { sizeMiB: plan.diskMiB, partitions };
    if (isMbr) {
      await assembleDisk(path, { ...disk, table: "mbr" });
      installBootCode(path);
    } else {
      await assembleGptDisk(path, { ...disk, table: "gpt" }, plan.sectorSizeBytes);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function makeRoot(work: string, plan: SmallDiskPlan): Promise<void> {
  await plan.fillRoot?.(join(work, "tree"));
  mkdirSync(join(work, "tree/etc"), { recursive: true });
  if (plan.swapMiB !== undefined) writeFileSync(join(work, "tree/etc/fstab"), "/dev/vda3 none swap sw 0 0\n");
  const environment = {
    WORK: work,
    SYSTEM: plan.system,
    LABEL: `${plan.system}-root`,
    SIZE_MIB: String(plan.rootMiB),
    BLOCK_BYTES: plan.sectorSizeBytes === 4096 || plan.rootMiB > 64 ? "4096" : "1024",
    HERE: import.meta.dirname,
    BUSYBOX: "/bin/busybox",
  };
  await shell({ env: { ...process.env, ...environment } })`fakeroot ${join(import.meta.dirname, "make-root.sh")}`;
}

async function makeBootPartition(file: string, kernel: SmallKernel, plan: SmallDiskPlan): Promise<void> {
  makeEmpty(file, bootMiB);
  const sectors = (1 << 20) / plan.sectorSizeBytes;
  await shell`mkfs.vfat -S ${plan.sectorSizeBytes} -h ${sectors} -n BOOT ${file}`;
  const options = `root=LABEL=${plan.system}-root console=ttyS0 panic=5 ${quickKernelArguments}`;
  const put = async (content: string, target: string): Promise<void> => {
    writeFileSync(`${file}.text`, content);
    await shell`mcopy -i ${file} ${`${file}.text`} ::${target}`;
  };
  await shell`mcopy -i ${file} ${kernel.image} ::/vmlinuz`;
  await shell`mcopy -i ${file} ${kernel.initrd} ::/initrd.img`;
  if (plan.firmware === "bios") {
    await put(
      `DEFAULT os\nPROMPT 0\nLABEL os\nKERNEL /vmlinuz\nINITRD /initrd.img\nAPPEND ${options}\n`,
      "/syslinux.cfg",
    );
    await shell`syslinux --install ${file}`;
    return;
  }
  await shell`mmd -i ${file} ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries`;
  const loader = plan.loader ?? "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
  await shell`mcopy -i ${file} ${loader} ::/EFI/BOOT/BOOTX64.EFI`;
  await put("timeout 0\n", "/loader/loader.conf");
  await put(`title os\nlinux /vmlinuz\ninitrd /initrd.img\noptions ${options}\n`, "/loader/entries/os.conf");
}

function makeEmpty(file: string, sizeMiB: number): void {
  writeFileSync(file, "");
  truncateSync(file, sizeMiB << 20);
}

/** syslinux's boot code, which starts the partition that is active: the first. */
function installBootCode(disk: string): void {
  const ACTIVE = 446;
  const fd = openSync(disk, "r+");
  try {
    const code = readFileSync("/usr/lib/syslinux/mbr/mbr.bin");
    writeSync(fd, code, 0, code.length, 0);
    writeSync(fd, Buffer.of(0x80), 0, 1, ACTIVE);
  } finally {
    closeSync(fd);
  }
}

/** Copies a file into a tree, with its folders. */
export function putFile(tree: string, path: string, source: string): void {
  mkdirSync(join(tree, path, ".."), { recursive: true });
  copyFileSync(source, join(tree, path));
}
