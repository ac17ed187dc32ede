/** Whether this machine is one that the manifest is for. */
import { readFile } from "node:fs/promises";
import { ReimageError } from "../../errors.ts";
import type { Manifest } from "./manifest.ts";

/** What the firmware says of a machine (DMI, as /sys/class/dmi/id shows it); null where it says nothing. */
export interface Machine {
  readonly vendor: string | null;
  readonly product: string | null;
  readonly board: string | null;
}

/** Reads what the firmware says. */
export async function readMachine(): Promise<Machine> {
  const read = async (name: string) =>
    (await readFile(`/sys/class/dmi/id/${name}`, "utf8").catch(() => "")).trim() || null;
  return { vendor: await read("sys_vendor"), product: await read("product_name"), board: await read("board_name") };
}

/** What of this machine the manifest may ask for. */
export interface HardwareFacts {
  readonly machine: Machine;
  readonly target: { readonly path: string; readonly sizeBytes: number; readonly sectorSizeBytes: number };
  readonly availableBytes: number;
}

/** @throws ReimageError `image`, `too-small` or `memory` where the machine is not what the manifest asks for. Pure. */
export function requireHardware(manifest: Manifest, { machine, target, availableBytes }: HardwareFacts): void {
  const { vendors, products, boards } = manifest.hardware ?? {};
  requireOneOf("made by", vendors, machine.vendor);
  requireOneOf("a", products, machine.product);
  requireOneOf("a machine with the board", boards, machine.board);
  if (manifest.sectorSizeBytes !== target.sectorSizeBytes) {
    throw new ReimageError(
      "image",
      `the image was made for sectors of ${manifest.sectorSizeBytes} bytes, the target disk has sectors of ${target.sectorSizeBytes}`,
      { hint: `use an image that was made for sectors of ${target.sectorSizeBytes} bytes` },
    );
  }
  if (manifest.leastDiskBytes !== undefined && target.sizeBytes < manifest.leastDiskBytes) {
    throw new ReimageError(
      "too-small",
      `the image asks for a disk of ${manifest.leastDiskBytes} bytes; ${target.path} has ${target.sizeBytes}`,
      { hint: "use a larger disk, or an image for smaller ones" },
    );
  }
  if (manifest.leastRamBytes !== undefined && availableBytes < manifest.leastRamBytes) {
    throw new ReimageError(
      "memory",
      `the image asks for ${manifest.leastRamBytes} bytes of memory; ${availableBytes} are available`,
      { hint: "use a machine with more memory, or an image that asks for less" },
    );
  }
}

function requireOneOf(what: string, wanted: readonly string[] | undefined, is: string | null): void {
  if (wanted === undefined || (is !== null && wanted.includes(is))) return;
  throw new ReimageError(
    "image",
    `the image is for machines that are ${what} ${wanted.join(" or ")}; this one is ${is ?? "unknown"}`,
    {
      hint: "use the image for this machine; its manifest says which machines it is for (hardware)",
    },
  );
}
