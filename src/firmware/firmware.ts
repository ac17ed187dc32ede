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

/**
 * Reads it from `directory` (/sys/firmware). efivarfs has to be mounted there.
 * @throws ReimageError `lifeboat` where the variables of a UEFI cannot be read
 */
export async function readFirmware(directory = "/sys/firmware"): Promise<Firmware> {
  const efi = join(directory, "efi");
  if (!(await exists(efi))) return { kind: "bios" };
  const variables = efiVariables(join(efi, "efivars"));
  if ((await variables.names()).length === 0) {
    throw new ReimageError("lifeboat", `the variables of the firmware are not in ${efi}/efivars`, {
      hint: `mount -t efivarfs efivarfs ${efi}/efivars; where that fails, the kernel was booted without EFI run-time services`,
    });
  }
  const bits = await readFile(join(efi, "fw_platform_size"), "utf8").catch(() => "64"); // older kernels: same as their own
  const secureBoot = await variables.read("SecureBoot");
  return {
    kind: "uefi",
    secureBoot: secureBoot?.data[0] === 1,
    bitness: bits.trim() === "32" ? 32 : 64,
    bootedFrom: await readBootedFrom(variables),
  };
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
