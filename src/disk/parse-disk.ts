/** What the attributes of a disk in sysfs mean. Pure: readDisks() gathers the text, fixtures hold captured ones. */
import { type Ancestor, computeByPath } from "./by-path.ts";
import type { Disk, Transport } from "./disk.ts";
import type { KernelPartition } from "./sysfs.ts";

/** A whole disk as sysfs shows it. */
export interface SysfsDisk {
  readonly name: string;
  /** Attributes by their path below the device, such as `queue/logical_block_size`; binary ones (vpd_pg80) in hex. */
  readonly attributes: Readonly<Record<string, string>>;
  /** The devices it hangs on, nearest first. */
  readonly ancestors: readonly Ancestor[];
  readonly partitions: readonly KernelPartition[];
  readonly holders: readonly string[];
}

/** The attributes that parseDisk understands. */
export const DISK_ATTRIBUTES = [
  "dev",
  "size",
  "ro",
  "removable",
  "hidden",
  "diskseq",
  "queue/logical_block_size",
  "loop/backing_file",
  "serial",
  "wwid",
  "nsid",
  "device/serial",
  "device/wwid",
  "device/model",
  "device/name",
  "device/type",
] as const;

/** Unit serial number page of SCSI disks, which libata makes up for ATA disks too; binary. */
export const SERIAL_PAGE = "device/vpd_pg80";

/** Not disks, or nothing that an operating system can be put on. The eMMC boot areas are kept read-only by the kernel. */
const NO_DISK = /^(ram|zram|dm-|md|sr|fd|mtdblock|mmcblk\d+(boot|rpmb))/;

/** The facts of a disk; null for what is no disk, or has no medium in it. */
export function parseDisk(facts: SysfsDisk): Disk | null {
  const { name, attributes } = facts;
  const sectors = Number(attributes.size ?? 0);
  const isLoop = name.startsWith("loop");
  if (NO_DISK.test(name) || attributes.hidden === "1" || attributes.dev === undefined || !(sectors > 0)) return null;
  if (isLoop && attributes["loop/backing_file"] === undefined) return null;
  const transport = parseTransport(facts);
  const isSdCard = transport === "mmc" && attributes["device/type"] === "SD";
  return {
    name,
    path: devicePath(name),
    deviceNumber: attributes.dev,
    sizeBytes: sectors * 512,
    sectorSizeBytes: Number(attributes["queue/logical_block_size"] ?? 512),
    serial: parseSerial(facts, transport),
    wwn: parseWwn(attributes),
    model: present(attributes["device/model"] ?? (transport === "mmc" ? attributes["device/name"] : undefined)),
    transport,
    removable: attributes.removable === "1" || isSdCard,
    byPath: computeByPath(facts.ancestors, attributes.nsid ?? null),
    readOnly: attributes.ro === "1",
    diskSequence: attributes.diskseq === undefined ? null : Number(attributes.diskseq),
    partitions: facts.partitions.map((partition) => ({ ...partition, path: devicePath(partition.name) })),
    holders: facts.holders,
  };
}

/** The node of a kernel name, in which `!` stands for `/` (cciss!c0d0). */
export function devicePath(name: string): string {
  return `/dev/${name.replaceAll("!", "/")}`;
}

function parseTransport({ name, ancestors }: SysfsDisk): Transport {
  const on = (subsystem: string) => ancestors.some((ancestor) => ancestor.subsystem === subsystem);
  if (name.startsWith("loop")) return "loop";
  if (on("usb")) return "usb"; // before SCSI, which USB disks speak too
  if (name.startsWith("nvme")) return "nvme";
  if (on("mmc")) return "mmc";
  if (ancestors.some((ancestor) => ancestor.ataPort !== null)) return "ata";
  if (on("scsi")) return "scsi";
  const bus = ancestors.find((ancestor) => ancestor.subsystem !== null)?.subsystem;
  return bus === "virtio" ? "virtio" : "other";
}

/** The serial number as `lsblk -o SERIAL` prints it: of a USB disk the bridge's, of others the disk's own. */
function parseSerial({ attributes, ancestors }: SysfsDisk, transport: Transport): string | null {
  if (transport === "usb") {
    const bridge = ancestors.find((ancestor) => ancestor.deviceType === "usb_device"); // hubs further up have one too
    const serial = present(bridge?.usbSerial ?? undefined);
    if (serial !== null) return serial;
  }
  return parseSerialPage(attributes[SERIAL_PAGE]) ?? present(attributes.serial) ?? present(attributes["device/serial"]);
}

/** SPC-4, 7.8.15: a header of four bytes, the last two of which are the length, then ASCII. */
function parseSerialPage(hex: string | undefined): string | null {
  if (hex === undefined) return null;
  const page = Buffer.from(hex, "hex");
  if (page.length < 4 || page.readUInt8(1) !== 0x80) return null;
  return present(page.toString("latin1", 4, 4 + page.readUInt16BE(2)));
}

/** As `lsblk -o WWN` prints it: 0x… for an NAA, eui.… for NVMe. A `t10.` name is made of the serial and is no WWN. */
function parseWwn(attributes: Readonly<Record<string, string>>): string | null {
  const wwid = present(attributes.wwid) ?? present(attributes["device/wwid"]);
  if (wwid === null || wwid.startsWith("t10.")) return null;
  return wwid.startsWith("naa.") ? `0x${wwid.slice("naa.".length)}` : wwid;
}

/** Text without the padding of fixed fields (spaces, NULs); null where nothing is left. */
function present(text: string | undefined): string | null {
  const trimmed = (text ?? "").replace(/[\0\s]+/g, " ").trim();
  return trimmed === "" ? null : trimmed;
}
