/** The disks of a virtual machine: overlays, buses, and errors injected below them. */
import { spawnSync } from "node:child_process";

export type DiskBus = "sata" | "nvme" | "virtio" | "scsi" | "usb";

export interface VmDisk {
  /** Of an `nbd` disk: the socket of the server (nbd-disk.ts). */
  readonly file: string;
  readonly format: "raw" | "qcow2" | "nbd";
  readonly bus: DiskBus;
  readonly serial?: string;
  /** Logical and physical; 512 unless given. Not on SATA. */
  readonly sectorSizeBytes?: 512 | 4096;
  readonly readOnly?: boolean;
  /** Every read or write that touches this byte, or every flush, fails with this errno (5 EIO, 28 ENOSPC). */
  readonly failing?: { readonly access: "read" | "write" | "flush"; readonly atByte: number; readonly errno: number };
}

/** Creates a qcow2 file that starts with what `base` (raw) holds and takes all writes. */
export function createOverlay(base: string, overlay: string): void {
  qemuImg(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay]);
}

/** Creates an empty disk. */
export function createEmptyDisk(file: string, sizeMiB: number): void {
  qemuImg(["create", "-q", "-f", "raw", file, `${sizeMiB}M`]);
}

/** Writes what a disk holds to a sparse raw file. */
export function exportRaw(disk: { readonly file: string; readonly format: string }, raw: string): void {
  qemuImg(["convert", "-f", disk.format, "-O", "raw", disk.file, raw]);
}

function qemuImg(parameters: string[]): void {
  const result = spawnSync("qemu-img", parameters, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`qemu-img ${parameters.join(" ")}: ${result.stderr}${result.error ?? ""}`);
}

/** QEMU's arguments for the disks, in the order in which the machine will see them, and boot from them if `isBooted`. */
export function vmDiskArguments(disks: readonly VmDisk[], isBooted: boolean): string[] {
  const controllers = new Set<string>();
  return disks.flatMap((disk, index) => {
    const id = diskName(index);
    const properties = [
      `drive=${id}`,
      `serial=${disk.serial ?? `SERIAL${index}`}`,
      ...(isBooted ? [`bootindex=${index}`] : []),
      ...(disk.sectorSizeBytes === undefined
        ? []
        : [`logical_block_size=${disk.sectorSizeBytes}`, `physical_block_size=${disk.sectorSizeBytes}`]),
      // An error is the guest's to handle; by default QEMU would stop the machine on ENOSPC.
      ...(disk.bus === "nvme" ? [] : ["werror=report", "rerror=report"]),
    ];
    const { driver, controller } = device(disk.bus, index);
    const isNew = controller !== null && !controllers.has(controller);
    if (controller !== null) controllers.add(controller);
    return [
      ...blockDevice(disk, id),
      ...(isNew ? ["-device", controller] : []),
      ...["-device", [driver, ...properties].join(",")],
    ];
  });
}

function device(bus: DiskBus, index: number): { driver: string; controller: string | null } {
  switch (bus) {
    case "sata":
      return { driver: `ide-hd,bus=ide.${index}`, controller: null };
    case "nvme":
      return { driver: "nvme", controller: null };
    case "virtio":
      return { driver: "virtio-blk-pci", controller: null };
    case "scsi":
      return { driver: "scsi-hd,bus=scsi0.0", controller: "virtio-scsi-pci,id=scsi0" };
    case "usb":
      return { driver: "usb-storage,bus=usb0.0", controller: "qemu-xhci,id=usb0" };
  }
}

/** The QMP name of a disk, for `block_resize`. */
export const diskName = (index: number): string => `disk${index}`;

function blockDevice(disk: VmDisk, id: string): string[] {
  const top = disk.failing === undefined ? id : `${id}-image`;
  const readOnly = disk.readOnly === true ? ",read-only=on" : "";
  // Writes reach the page cache of the host: enough for a test, and quick. `discard` lets zeroing stay sparse.
  const protocol =
    disk.format === "nbd"
      ? `server.type=unix,server.path=${disk.file}`
      : `file.driver=file,file.filename=${disk.file}${readOnly}`;
  const file = `driver=${disk.format},node-name=${top},discard=unmap,${protocol}`;
  if (disk.failing === undefined) return ["-blockdev", file];
  const { access, atByte, errno } = disk.failing;
  const rule = {
    event: "none",
    iotype: access,
    sector: access === "flush" ? -1 : Math.floor(atByte / 512), // -1: wherever it is
    errno,
    once: false,
    immediately: false,
  };
  const debug = { driver: "blkdebug", "node-name": id, image: top, "inject-error": [rule] };
  return ["-blockdev", file, "-blockdev", JSON.stringify(debug)];
}
