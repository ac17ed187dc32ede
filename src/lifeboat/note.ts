/**
 * What the initramfs of a lifeboat is told of it. The program reads a file; the bootstrap, which may not have that file
 * because the kernel could not unpack all there is, an argument of the kernel command line. Both have the same length for
 * every lifeboat: they are part of what its size and its place are computed from. Pure.
 */
import { ReimageError } from "../errors.ts";
import type { Wanted } from "./find.ts";

/** Where the note, and what vouches for the image, are in the initramfs. */
export const notePath = "/etc/reimage/lifeboat/note";
/** The image is not there; its manifest, signature and block map are, by the names beside this one. */
export const imagePath = "/etc/reimage/lifeboat/image";

const offsetDigits = 15;

export function formatNote({ uuid, offsetBytes }: Wanted): string {
  return `LIFEBOAT_UUID=${uuid}\nLIFEBOAT_OFFSET_BYTES=${String(offsetBytes).padStart(offsetDigits, "0")}\n`;
}

/** @throws ReimageError `lifeboat` */
export function parseNote(text: string): Wanted {
  const uuid = /^LIFEBOAT_UUID=([0-9a-f-]{36})$/m.exec(text)?.[1];
  const offsetBytes = /^LIFEBOAT_OFFSET_BYTES=([0-9]{1,15})$/m.exec(text)?.[1];
  if (uuid !== undefined && offsetBytes !== undefined) return { uuid, offsetBytes: Number(offsetBytes) };
  throw new ReimageError("lifeboat", `${notePath} does not say which lifeboat this machine was booted from`);
}

/** What it takes to put the old switch sector back. */
export interface WayBack extends Wanted {
  readonly sectorSizeBytes: number;
  /** Which byte of the disk the switch sector begins at. */
  readonly switchOffsetBytes: number;
}

/** For initramfs/give-back. The kernel hands an argument that it does not know to init, as a variable of that name. */
export function formatLifeboatArgument({ uuid, offsetBytes, sectorSizeBytes, switchOffsetBytes }: WayBack): string {
  const hex = (bytes: number, digits: number) => `0x${bytes.toString(16).padStart(digits, "0")}`;
  return `lifeboat=${uuid},${hex(offsetBytes, 13)},${hex(sectorSizeBytes, 4)},${hex(switchOffsetBytes, 4)}`;
}
