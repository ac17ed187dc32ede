/** What a kernel image says of itself: Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header". */
import { type FileHandle, open } from "node:fs/promises";
import { ReimageError } from "../errors.ts";

/** The header, and the version behind it, lie within the first 32 KiB: the real-mode part has 64 sectors at most. */
const headBytes = 32 << 10;

/**
 * The version of the bzImage that begins with `head`, as `uname -r` says it (pure). @returns null where it is none for x86-64.
 */
export function parseKernelVersion(head: Buffer): string | null {
  if (head.length < 0x268 || head.readUInt16LE(0x1fe) !== 0xaa55) return null;
  if (head.toString("latin1", 0x202, 0x206) !== "HdrS" || head.readUInt16LE(0x206) < 0x020c) return null;
  const isLoadedHigh = (head.readUInt8(0x211) & 1) !== 0; // a bzImage, not a zImage
  const has64BitEntry = (head.readUInt16LE(0x236) & 1) !== 0; // XLF_KERNEL_64
  if (!isLoadedHigh || !has64BitEntry) return null;
  const at = head.readUInt16LE(0x20e) + 0x200;
  const end = head.indexOf(0, at);
  if (at === 0x200 || at >= head.length || end === -1) return null;
  return head.toString("latin1", at, end).split(" ")[0] ?? null;
}

/** @throws ReimageError `lifeboat` where the file is no kernel that the boot loaders can start. */
export async function readKernelVersion(path: string): Promise<string> {
  const head = Buffer.alloc(headBytes);
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new ReimageError("lifeboat", `${path} cannot be opened`, { cause });
  }
  await using opened = file;
  const { bytesRead } = await opened.read(head, 0, head.length, 0);
  const version = parseKernelVersion(head.subarray(0, bytesRead));
  if (version !== null) return version;
  throw new ReimageError("lifeboat", `${path} is no Linux kernel for x86-64 that a boot loader can start (bzImage)`, {
    hint: "name the vmlinuz that was built together with the initramfs, with --kernel",
  });
}
