/** Swap areas: what their first page says (mkswap(8), include/linux/swap.h), and /proc/swaps. Pure. */
import { unescapeOctal } from "../../disk/mount-info.ts";

/** The first page, as large as pages are on x86-64; swap made for another page size is not used by this kernel. */
export const swapPageBytes = 4096;
const signatureBytes = 10;
/** What takes the place of the signature while the memory of a machine that sleeps lies there. */
const hibernation = [
  Buffer.from("S1SUSPEND"),
  Buffer.from("S2SUSPEND"),
  Buffer.from("ULSUSPEND"),
  Buffer.from("LINHIB"),
];
/** TuxOnIce */
const binaryHibernation = Buffer.from([0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c]);

/** Why a partition with this first page is no swap that may be taken over; null where it is one. */
export function refuseSwapPage(page: Buffer): string | null {
  const signature = page.subarray(swapPageBytes - signatureBytes, swapPageBytes);
  if (signature.equals(Buffer.from("SWAPSPACE2"))) {
    const badPages = page.readUInt32LE(1024 + 8);
    return badPages === 0 ? null : `has ${badPages} bad pages: the disk is faulty there`;
  }
  const isImage = [...hibernation, binaryHibernation].some((known) =>
    signature.subarray(0, known.length).equals(known),
  );
  if (isImage) return "holds the image of a machine that sleeps (hibernation): boot the old OS from it first";
  return "has no swap signature (encrypted, or never made with mkswap)";
}

/** A line of /proc/swaps. */
export interface SwapArea {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  /** Negative where the kernel chose it. */
  readonly priority: number;
}

/** Parses /proc/swaps, octal escapes resolved. */
export function parseSwapAreas(text: string): SwapArea[] {
  return text
    .split("\n")
    .slice(1) // the first line is a heading
    .flatMap((line) => {
      const [path, , size, used, priority] = line.split(/\s+/);
      if (path === undefined || size === undefined || used === undefined || priority === undefined) return [];
      return [
        {
          path: unescapeOctal(path),
          sizeBytes: Number(size) * 1024,
          usedBytes: Number(used) * 1024,
          priority: Number(priority),
        },
      ];
    });
}

/** What the old OS keeps beyond what comes back from swap, so that it goes on until the reboot. */
const memoryReserveBytes = 64 << 20;

/** Whether memory holds what lies in a swap area. */
export function canSwitchOff(area: SwapArea, memAvailableBytes: number): boolean {
  return area.usedBytes === 0 || memAvailableBytes >= area.usedBytes + memoryReserveBytes;
}

/** Whether the table says swap: MBR type 82 (Solaris has it too), or the GPT type of Linux swap. */
export function isSwapType(type: string): boolean {
  return type === "82" || type === "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f";
}
