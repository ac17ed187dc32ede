/** A virtual kiosk for one test: a disk of its own on top of the cached one, and machines that boot it. */
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type AppendedFile, appendConfig } from "../../scripts/kiosk/append-config.ts";
import { kioskConfig } from "../../scripts/kiosk/config.ts";
import type { PartitionLayout, Size, Table } from "../../scripts/kiosk/layouts.ts";
import { type Kiosk, makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import { runTestCommand, temporaryDirectory } from "./loop-device.ts";
import { startVm, type Vm, type VmOptions } from "./qemu.ts";
import { createOverlay, type DiskBus, exportRaw, type VmDisk } from "./vm-disk.ts";

/** Waiting for a machine costs nothing; giving up too early on a busy one costs a test. */
export const bootTimeoutMs = 180_000;
export const reimageTimeoutMs = 540_000;

const MiB = 1024 * 1024;

export interface KioskVm extends AsyncDisposable {
  readonly kiosk: Kiosk;
  /** Goes away with the kiosk. */
  readonly folder: string;
  readonly disk: VmDisk;
  /** Boots reimage's kernel and initramfs, configured for this kiosk. */
  startReimage(options?: ReimageOptions): Promise<Vm>;
  /** Boots what is on the disk, alone. */
  startFromDisk(options?: Partial<VmOptions>): Promise<Vm>;
  /** What the disk holds now, as a raw file that goes away with the kiosk. */
  exportDisk(): string;
  /** Whether the disk holds exactly what it held at the start. */
  isUntouched(): boolean;
}

export interface ReimageOptions extends Partial<Omit<VmOptions, "initrd">> {
  /** YAML added to the configuration. */
  readonly furtherConfig?: string;
  /** Lines added to the retention list. */
  readonly furtherList?: string;
  /** Shell commands that run before reimage's own /init, with /proc, /sys and /dev mounted and the disks' drivers loaded. */
  readonly before?: string;
  /** Shell commands that run beside it. */
  readonly beside?: string;
  /** The `console=` arguments of the kernel; the screen and the serial line unless given. */
  readonly consoles?: string;
}

/** Opens a kiosk. `base` is another old disk than the cached one. */
export async function openKioskVm(size: Size, table: Table, bus: DiskBus, base?: string): Promise<KioskVm> {
  const kiosk = await makeKiosk(size, table);
  const firmware = table === "mbr" ? "bios" : "uefi";
  const temporary = await temporaryDirectory();
  const folder = temporary.dir;
  const disk: VmDisk = { file: join(folder, "kiosk.qcow2"), format: "qcow2", bus, serial: "KIOSK-0042" };
  createOverlay(base ?? kiosk.oldDisk, disk.file);
  return {
    kiosk,
    folder,
    disk,
    async startReimage(options = {}) {
      const { furtherConfig, furtherList, before, beside, consoles, append, ...vmOptions } = options;
      const config = kioskConfig(size, table, furtherConfig);
      const list = config["retentionlist.txt"] + (furtherList ?? "");
      const hook: Record<string, AppendedFile> =
        before === undefined && beside === undefined
          ? {}
          : {
              "test-init": { executable: hookScript(before) },
              "test-beside": { executable: `#!/bin/sh\n${beside ?? ""}\n` },
            };
      const publicKey = base === undefined ? kiosk.publicKey : null; // nobody signs the image of another disk
      const key = publicKey === null ? {} : { "image.pub": readFileSync(publicKey, "utf8") };
      const files = { ...config, ...key, "retentionlist.txt": list };
      const initrd = await appendConfig("build/initramfs.img", files, join(folder, "initrd.img"), hook);
      const start = "test-init" in hook ? "rdinit=/test-init" : "";
      return await startVm({
        firmware,
        disks: [disk],
        kernel: resolve("build/vmlinuz"),
        append: `${consoles ?? "console=tty0 console=ttyS0,115200"} quiet ${start} ${append ?? ""}`,
        ...vmOptions,
        initrd,
      });
    },
    startFromDisk: (options = {}) => startVm({ firmware, disks: [disk], ...options }),
    exportDisk() {
      const raw = join(folder, "exported.img");
      exportRaw(disk, raw);
      return raw;
    },
    isUntouched() {
      const parameters = ["compare", "-q", "-f", "qcow2", "-F", "raw", disk.file, base ?? kiosk.oldDisk];
      const result = spawnSync("qemu-img", parameters, { encoding: "utf8" });
      if (result.status === null || result.status > 1) throw new Error(`qemu-img compare: ${result.stderr}`);
      return result.status === 0;
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

function hookScript(before = ":"): string {
  return `#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/usr/bin/modprobe -aq ahci sd_mod virtio_pci virtio_blk nvme
${before}
umount /dev /sys /proc
mknod /dev/null c 1 3 # the shell opens it for what runs beside
setsid /test-beside & # in a session of its own: what is in that of PID 1 is the program's to clear away
exec /init
`;
}

/** The partition of a layout that holds something, as a path for e2fsprogs: a file and where the file system begins. */
export function fileSystemIn(raw: string, partition: PartitionLayout): string {
  return `${raw}?offset=${partition.startMiB * MiB}`;
}

export function partitionOf(partitions: readonly PartitionLayout[], holds: PartitionLayout["holds"]): PartitionLayout {
  const found = partitions.find((partition) => partition.holds === holds);
  if (found === undefined) throw new Error(`no ${holds} partition in the layout`);
  return found;
}

/** Reads a file of an ext4 inside a raw disk, without mounting. */
export async function readFileInside(raw: string, partition: PartitionLayout, path: string): Promise<string> {
  return await runTestCommand(["debugfs", "-R", `cat ${path}`, fileSystemIn(raw, partition)]);
}

/** e2fsck of every ext4 of a raw disk, changing nothing. */
export async function checkFileSystems(raw: string, partitions: readonly PartitionLayout[]): Promise<void> {
  for (const partition of partitions) {
    if (partition.holds === "extended" || partition.holds === "esp") continue;
    await runTestCommand(["e2fsck", "-f", "-n", fileSystemIn(raw, partition)]);
  }
}

/** Mounts a partition of a raw disk read-only, journal not replayed. Needs root. */
export async function mountPartition(
  raw: string,
  partition: PartitionLayout,
): Promise<AsyncDisposable & { dir: string }> {
  const directory = await temporaryDirectory();
  const range = `offset=${partition.startMiB * MiB},sizelimit=${partition.sizeMiB * MiB}`;
  try {
    await runTestCommand(["mount", "-o", `ro,noload,noatime,loop,${range}`, raw, directory.dir]);
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
  return {
    dir: directory.dir,
    async [Symbol.asyncDispose]() {
      await runTestCommand(["umount", directory.dir]);
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Copies a disk, holes and all. */
export function copySparse(from: string, to: string): void {
  rmSync(to, { force: true });
  copyFileSync(from, to);
}
