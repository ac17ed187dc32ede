/** The boot loaders that configurations can be for, as PXE Pilot tells of them. */
import type { BootConfiguration } from "../../../protocol/boot.ts";

interface Bootloader {
  readonly name: string;
  /** What the machine loads first. */
  readonly file: string;
  /** What that asks for, for one machine. */
  readonly config_path: string;
}

export const bootloaders = {
  pxelinux: { name: "pxelinux", file: "pxelinux.0", config_path: "pxelinux.cfg" },
  ipxe: { name: "ipxe", file: "boot.ipxe", config_path: "boot" },
  grub: { name: "grub", file: "grubx64.efi", config_path: "grub" },
} as const satisfies Record<string, Bootloader>;

/** The one that a configuration is for; every one understands `local` and `linux`. */
export function bootloaderOf(configuration: BootConfiguration): Bootloader {
  return bootloaders[configuration.kind === "text" ? configuration.bootloader : "pxelinux"];
}
