/** Who this machine is to the control endpoint. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../errors.ts";

/** UUIDs that vendors have left in the firmware of many machines. All zeros and all ones mean "none" in SMBIOS. */
const placeholders = [
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "03000200-0400-0500-0006-000700080009",
  "00020003-0004-0005-0006-000700080009",
  "fefefefe-fefe-fefe-fefe-fefefefefefe",
  "12345678-1234-5678-90ab-cddeefaabbcc",
  "12345678-1234-1234-1234-123456789abc",
  "01234567-89ab-cdef-0123-456789abcdef",
  "11111111-2222-3333-4444-555555555555",
];

/** The UUID of a product_uuid of the kernel, in lower case; null where it is none that tells machines apart (pure). */
export function parseProductUuid(text: string): string | null {
  const uuid = text.trim().toLowerCase();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return null;
  const digits = new Set(uuid.replaceAll("-", ""));
  return placeholders.includes(uuid) || digits.size <= 2 ? null : uuid;
}

/** The name space of the UUIDs below (RFC 9562, section 6.6): chosen once, at random. */
const macNameSpace = Buffer.from("8d2f4c1ea5b34e1c9f077c1d5c0f2b6a", "hex");

/** A UUID (version 5, RFC 9562) made of MAC addresses, in whatever order (pure). @throws ReimageError `control` for none. */
export function uuidFromMacs(macs: readonly string[]): string {
  if (macs.length === 0) {
    throw new ReimageError("control", "this machine has neither a UUID in its firmware nor a network card", {
      hint: "name it in control.machine",
    });
  }
  const name = macs.map((mac) => mac.toLowerCase()).sort();
  const digest = createHash("sha1").update(macNameSpace).update(name.join(" ")).digest().subarray(0, 16);
  digest.writeUInt8((digest.readUInt8(6) & 0x0f) | 0x50, 6);
  digest.writeUInt8((digest.readUInt8(8) & 0x3f) | 0x80, 8);
  return digest.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The MAC addresses of the physical network cards. @param sys where sysfs is */
export function readMacs(sys = "/sys"): string[] {
  const directory = join(sys, "class/net");
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const physical = names.filter((name) => existsSync(join(directory, name, "device")));
  const macs = physical.map((name) => readAttribute(join(directory, name, "address")).toLowerCase());
  return [...new Set(macs)].filter((mac) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && mac !== "00:00:00:00:00:00");
}

/** The serial number of the machine; null where the firmware has none that means anything. */
export function readSerial(sys = "/sys"): string | null {
  const serial = readAttribute(join(sys, "class/dmi/id/product_serial"));
  const isFiller = /^(|0+|none|n\/?a|not specified|default string|system serial number|to be filled.*)$/i.test(serial);
  return isFiller ? null : serial.slice(0, 256);
}

/**
 * The UUID of this machine: as configured, else its firmware's, else one made of its network cards.
 * @throws ReimageError `control` where there is none of these.
 */
export function readMachineId(configured: string | null, sys = "/sys"): string {
  if (configured !== null) return configured.toLowerCase();
  const firmware = parseProductUuid(readAttribute(join(sys, "class/dmi/id/product_uuid")));
  return firmware ?? uuidFromMacs(readMacs(sys));
}

/** "" where it is not there, or only root may read it. */
function readAttribute(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
