/** The name that udev gives a disk below /dev/disk/by-path, computed from where it hangs in sysfs. */

/** A device that a disk hangs on. */
export interface Ancestor {
  /** The last part of its path, such as `0000:00:1f.2` or `host2`. */
  readonly name: string;
  readonly subsystem: string | null;
  readonly deviceType: string | null;
  /** Of a SCSI host on an ATA port: the number of the port on its controller. */
  readonly ataPort: number | null;
  /** Of a SCSI host: the lowest number among the hosts of the same controller. */
  readonly firstHost: number | null;
  /** Of a USB device: its serial number. */
  readonly usbSerial: string | null;
}

/**
 * As systemd's path_id builtin does it, for PCI, platform, ACPI, Xen, USB, ATA, parallel SCSI and virtio-scsi, NVMe, virtio.
 * Null for buses whose names need more than the path (SAS, Fibre Channel, iSCSI, Hyper-V) and where no controller is known.
 * `nsid` is the namespace of an NVMe disk.
 */
export function computeByPath(ancestors: readonly Ancestor[], nsid: string | null): string | null {
  const parts: string[] = [];
  let hasController = false;
  let hasTransport = false;
  let done: string | null = null;
  for (const [i, ancestor] of ancestors.entries()) {
    const { name, subsystem, deviceType } = ancestor;
    // Nested devices of one bus (a bridge above its card) make one part, that of the nearest.
    if (subsystem !== null && subsystem === done) continue;
    done = null;
    if (subsystem === "scsi" && deviceType === "scsi_device") {
      const part = scsiPart(name, ancestors.slice(i + 1));
      if (part === null) return null;
      parts.unshift(part);
      hasTransport = true;
      done = "scsi";
    } else if (subsystem === "nvme" && nsid !== null) {
      parts.unshift(`nvme-${nsid}`);
      hasTransport = true;
      hasController = true;
      done = "nvme";
    } else if (subsystem === "usb" && name.includes("-")) {
      parts.unshift(`usb-0:${name.slice(name.indexOf("-") + 1)}`);
      hasTransport = true;
      done = "usb";
    } else if (subsystem === "virtio") {
      hasTransport = true;
      done = "virtio";
    } else if (subsystem === "pci" || subsystem === "platform" || subsystem === "acpi" || subsystem === "xen") {
      parts.unshift(`${subsystem}-${name}`);
      hasController = true;
      hasTransport ||= subsystem === "platform";
      done = subsystem;
    }
  }
  return hasController && hasTransport ? parts.join("-") : null;
}

/** `host:bus:target:lun` relative to the controller, or the ATA port (and its slave or port multiplier). */
function scsiPart(address: string, above: readonly Ancestor[]): string | null {
  const [host, bus, target, lun] = address.split(":").map(Number);
  const hostDevice = above.find((ancestor) => ancestor.deviceType === "scsi_host");
  if (host === undefined || bus === undefined || target === undefined || lun === undefined) return null;
  if (hostDevice === undefined || above.some(({ name }) => /^(rport-|end_device-|session\d|vmbus_|VMBUS)/.test(name))) {
    return null;
  }
  if (hostDevice.ataPort === null) return `scsi-${host - (hostDevice.firstHost ?? host)}:${bus}:${target}:${lun}`;
  if (bus !== 0) return `ata-${hostDevice.ataPort}.${bus}.0`;
  return target === 0 ? `ata-${hostDevice.ataPort}` : `ata-${hostDevice.ataPort}.${target}`;
}

/** Whether a name that an operator took from a running system means `byPath`: newer systemd writes `ata-1.0` for `ata-1`. */
export function isSameByPath(wanted: string, byPath: string): boolean {
  return wanted === byPath || wanted.replace(/(-ata-\d+)\.0$/, "$1") === byPath;
}
