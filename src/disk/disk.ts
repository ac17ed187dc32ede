/** A disk, as facts. */
import type { KernelPartition } from "./sysfs.ts";

/** How a disk is connected. */
export type Transport = "usb" | "nvme" | "ata" | "scsi" | "virtio" | "mmc" | "loop" | "other";

/** A partition as the kernel knows it now. */
export interface DiskPartition extends KernelPartition {
  readonly path: string;
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
  /** Says so itself, or is an SD card. */
  readonly removable: boolean;
  /** What udev would link below /dev/disk/by-path, computed from the sysfs path (there is no udev here). */
  readonly byPath: string | null;
  readonly readOnly: boolean;
  /** Grows with every disk the kernel sees, so a replugged disk differs; null before Linux 5.15. */
  readonly diskSequence: number | null;
  readonly partitions: readonly DiskPartition[];
  /** Names of the devices (dm, md, bcache, loop) that are made of the disk or its partitions. */
  readonly holders: readonly string[];
}
