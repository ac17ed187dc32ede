/** The disks of this machine, as facts: what sysfs says, read once, never kept up to date. */
import { ReimageError } from "../errors.ts";
import type { DiskIdentity } from "../report/events.ts";

/** How a disk is connected. */
export type Transport = "usb" | "nvme" | "ata" | "scsi" | "virtio" | "mmc" | "loop" | "other";

/** A partition as the kernel knows it now. */
export interface DiskPartition {
  readonly name: string;
  readonly path: string;
  readonly number: number;
  readonly deviceNumber: string;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

/** A whole disk. */
export interface Disk {
  readonly name: string;
  readonly path: string;
  /** `major:minor` */
  readonly deviceNumber: string;
  readonly sizeBytes: number;
  /** The logical sector size. */
  readonly sectorSizeBytes: number;
  readonly serial: string | null;
  readonly wwn: string | null;
  readonly model: string | null;
  readonly transport: Transport;
  readonly removable: boolean;
  /** What udev would link below /dev/disk/by-path, computed from the sysfs path (there is no udev here). */
  readonly byPath: string | null;
  readonly readOnly: boolean;
  /** Grows with every disk the kernel sees, so a replugged disk differs; null before Linux 5.15. */
  readonly diskSequence: number | null;
  readonly partitions: readonly DiskPartition[];
  /** Names of the dm, md, bcache and loop devices on the disk or its partitions. */
  readonly holders: readonly string[];
}

/** All disks (no ram, zram, dm, md, optical or floppy devices, no empty card readers, no loops without a file). */
export async function readDisks(): Promise<Disk[]> {
  throw new ReimageError("bug", "not written yet");
}

/** The names of the disks below a device, through partitions, device-mapper and md: what `/dev/mapper/vg-root` lies on. */
export async function deviceToDisks(_devicePath: string): Promise<string[]> {
  throw new ReimageError("bug", "not written yet");
}

/** What tells a disk from every other one. */
export function identityOf(disk: Disk): DiskIdentity {
  const { path, sizeBytes, sectorSizeBytes, serial, wwn, model } = disk;
  return { path, sizeBytes, sectorSizeBytes, serial, wwn, model };
}
