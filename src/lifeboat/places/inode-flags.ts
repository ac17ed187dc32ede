/** The attributes of a file that chattr(1) shows (ioctl_iflags(2)). */
import { ioctl } from "../../system/libc.ts";

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;

export const inodeFlags = { compressed: 0x4, immutable: 0x10, encrypted: 0x800, journalData: 0x4000 } as const;

export function readInodeFlags(fd: number): number {
  const flags = Buffer.alloc(8); // the kernel fills an int, whatever the request's number says
  ioctl(fd, FS_IOC_GETFLAGS, flags, "FS_IOC_GETFLAGS");
  return flags.readUInt32LE();
}

/** Immutable: nobody can write, rename, truncate, move or remove it, until it is mutable again. */
export function setImmutable(fd: number, isImmutable: boolean): void {
  const before = readInodeFlags(fd);
  const flags = Buffer.alloc(8);
  flags.writeUInt32LE((isImmutable ? before | inodeFlags.immutable : before & ~inodeFlags.immutable) >>> 0);
  ioctl(fd, FS_IOC_SETFLAGS, flags, "FS_IOC_SETFLAGS");
}
