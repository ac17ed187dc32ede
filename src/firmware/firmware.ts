/** Which firmware booted the running system, and from where. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { bootEntryName } from "./boot-entries.ts";
import { parseDevicePath } from "./device-path.ts";
import { type EfiVariables, efiVariables, vendors } from "./efi-variables.ts";
import { parseLoadOption } from "./load-option.ts";

/** What the firmware says of itself. */
export type Firmware = { readonly kind: "bios" } | UefiFirmware;

export interface UefiFirmware {
  readonly kind: "uefi";
  /** Whether it starts only programs that are signed by a key it knows. */
  readonly secureBoot: boolean;
  readonly bitness: 64 | 32;
  /** Null where neither firmware nor boot loader tells. */
  readonly bootedFrom: BootedFrom | null;
}

/** What the firmware started. */
export interface BootedFrom {
  /** PARTUUID of the partition, as blkid prints it; null where the entry names a whole disk or a network card. */
  readonly partitionUuid: string | null;
  /** The program, with backslashes; null for the removable-media path, which the firmware adds by itself. */
  readonly path: string | null;
}

/** Whether the running system was booted by a UEFI, and knows. @param directory /sys/firmware */
export async function isUefi(directory = "/sys/firmware"): Promise<boolean> {
  return await exists(join(directory, "efi"));
}

/** Where a boot entry for a 64-bit OS can be made on this machine; null: nowhere (BIOS, a 32-bit UEFI). */
export async function findBootVariables(directory = "/sys/firmware"): Promise<EfiVariables | null> {
  if (!(await isUefi(directory)) || (await readBitness(directory)) === 32) return null;
  return efiVariables(join(directory, "efi/efivars"));
}

/**
 * Reads it from `directory` (/sys/firmware); the variables from there too, unless given.
 * @throws ReimageError `lifeboat` where the variables of a UEFI cannot be read
 */
export async function readFirmware(
  directory = "/sys/firmware",
  variables = efiVariables(join(directory, "efi/efivars")),
): Promise<Firmware> {
  if (!(await isUefi(directory))) return { kind: "bios" };
  const efi = join(directory, "efi");
  if ((await variables.names()).length === 0) {
    throw new ReimageError("lifeboat", `the variables of the firmware are not in ${efi}/efivars`, {
      hint: `mount -t efivarfs efivarfs ${efi}/efivars; where that fails, the kernel was booted without EFI run-time services`,
    });
  }
  const secureBoot = await variables.read("SecureBoot");
  return {
    kind: "uefi",
    secureBoot: secureBoot?.data[0] === 1,
    bitness: await readBitness(directory),
    bootedFrom: await readBootedFrom(variables),
  };
}

async function readBitness(directory: string): Promise<64 | 32> {
  // Older kernels do not tell: as many as their own.
  const bits = await readFile(join(directory, "efi/fw_platform_size"), "utf8").catch(() => "64");
  return bits.trim() === "32" ? 32 : 64;
}

async function readBootedFrom(variables: EfiVariables): Promise<BootedFrom | null> {
  const current = await variables.read("BootCurrent");
  const entry = current === null ? null : await readEntry(variables, current.data);
  if (entry?.partitionUuid != null) return entry;
  const loader = await variables.read("LoaderDevicePartUUID", vendors.loader);
  const partitionUuid = loader === null ? null : parseUuidText(loader.data);
  if (partitionUuid !== null) return { partitionUuid, path: entry?.path ?? null };
  return entry;
}

async function readEntry(variables: EfiVariables, current: Buffer): Promise<BootedFrom | null> {
  if (current.length < 2) return null;
  const variable = await variables.read(bootEntryName(current.readUInt16LE()));
  const option = variable === null ? null : parseLoadOption(variable.data);
  if (option === null) return null;
  const { partition, file } = parseDevicePath(option.devicePath);
  return { partitionUuid: partition?.uuid ?? null, path: file };
}

/** A GUID in UTF-16, as systemd-boot and others write it; null where it is something else. */
function parseUuidText(data: Buffer): string | null {
  const text = data.toString("utf16le").split("\0", 1)[0]?.toLowerCase() ?? "";
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? text : null;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
