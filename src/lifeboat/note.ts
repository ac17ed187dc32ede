/** What the initramfs of a lifeboat is told of it: a few lines that a shell can read too. Pure. */
import { ReimageError } from "../errors.ts";
import type { Wanted } from "./find.ts";

/** Where the note, and what vouches for the image, are in the initramfs. */
export const notePath = "/etc/reimage/lifeboat/note";
/** The image is not there; its manifest, signature and block map are, by the names beside this one. */
export const imagePath = "/etc/reimage/lifeboat/image";

export function formatNote({ uuid, offsetBytes }: Wanted): string {
  return `LIFEBOAT_UUID=${uuid}\nLIFEBOAT_OFFSET_BYTES=${offsetBytes}\n`;
}

/** @throws ReimageError `lifeboat` */
export function parseNote(text: string): Wanted {
  const uuid = /^LIFEBOAT_UUID=([0-9a-f-]{36})$/m.exec(text)?.[1];
  const offsetBytes = /^LIFEBOAT_OFFSET_BYTES=([0-9]{1,15})$/m.exec(text)?.[1];
  if (uuid !== undefined && offsetBytes !== undefined) return { uuid, offsetBytes: Number(offsetBytes) };
  throw new ReimageError("lifeboat", `${notePath} does not say which lifeboat this machine was booted from`);
}
