/** The boot loaders in the executable. scripts/fetch-loaders.ts says where they come from. */
import ldlinuxC32 from "../../../build/loaders/ldlinux.c32" with { type: "file" };
import ldlinuxSys from "../../../build/loaders/ldlinux.sys" with { type: "file" };
import masterBootRecord from "../../../build/loaders/mbr.bin" with { type: "file" };
import syslinuxBootSector from "../../../build/loaders/syslinux-boot-sector.bin" with { type: "file" };
import systemdBoot from "../../../build/loaders/systemd-bootx64.efi" with { type: "file" };

const paths = {
  /** 440 bytes: boots the partition of a master boot record that is marked active. */
  "mbr.bin": masterBootRecord,
  /** 512 bytes: the boot sector of a FAT file system, as SYSLINUX's installer left it on some other one. */
  "syslinux-boot-sector.bin": syslinuxBootSector,
  /** What that boot sector loads, as installed on some other file system: syslinux.ts fits both to theirs. */
  "ldlinux.sys": ldlinuxSys,
  /** The rest of SYSLINUX, of the same build. */
  "ldlinux.c32": ldlinuxC32,
  /** For UEFI, 64 bits. Not signed. */
  "systemd-bootx64.efi": systemdBoot,
} as const;

export type LoaderName = keyof typeof paths;

export async function readLoader(name: LoaderName): Promise<Buffer> {
  return Buffer.from(await Bun.file(paths[name]).arrayBuffer());
}
