/**
 * GRUB's environment block, `grubenv`: 1024 bytes, a line that says so, `name=value` lines, and `#` up to the end (GRUB
 * manual, "Environment block"; grub-core/lib/envblk.c). Pure. Our own writer instead of grub-editenv, which has another name
 * on every distribution, truncates the file before it writes it, and does not sync it.
 */
import { ReimageError } from "../errors.ts";

const SIGNATURE = "# GRUB Environment Block\n";
/** GRUB writes into the blocks that the file has: its size cannot change at boot. */
const NEW_BLOCK_BYTES = 1024;

/** The value of a variable; null where it is not set. @throws ReimageError `old-os` where this is no environment block. */
export function readGrubVariable(block: Buffer, name: string): string | null {
  const line = parse(block).find((each) => each.startsWith(`${name}=`));
  return line === undefined ? null : line.slice(name.length + 1).replace(/\\(.)/gs, "$1");
}

/**
 * The block with a variable set, or without it (`value` null). Everything else stays as it is, the size too.
 * @param block null: there is none yet
 * @param value without line ends
 * @throws ReimageError `old-os` where `block` is no environment block, or has no room.
 */
export function writeGrubVariable(block: Buffer | null, name: string, value: string | null): Buffer {
  const before = block ?? Buffer.from(SIGNATURE.padEnd(NEW_BLOCK_BYTES, "#"), "latin1");
  const lines = parse(before).filter((line) => !line.startsWith(`${name}=`));
  if (value !== null) lines.push(`${name}=${value.replaceAll("\\", "\\\\")}`);
  const text = SIGNATURE + lines.map((line) => `${line}\n`).join("");
  if (text.length > before.length) {
    throw new ReimageError("old-os", `GRUB's environment block is full: ${before.length} bytes`, {
      hint: "remove variables that nobody needs, with grub-editenv",
    });
  }
  return Buffer.from(text.padEnd(before.length, "#"), "latin1");
}

/** The lines, comments included; what fills the block up is none. An escaped line end (`\` before it) belongs to its line. */
function parse(block: Buffer): string[] {
  const text = block.toString("latin1");
  if (!text.startsWith(SIGNATURE)) {
    throw new ReimageError("old-os", "grubenv is not a GRUB environment block", {
      hint: "make a new one with: grub-editenv grubenv create",
    });
  }
  const lines: string[] = [];
  const rest = text.slice(SIGNATURE.length);
  for (const match of rest.matchAll(/((?:[^\\\n]|\\[\s\S])*)\n/g)) lines.push(match[1] ?? "");
  return lines;
}
