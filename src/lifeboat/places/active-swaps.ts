/** Which swap areas the kernel uses now. */
import { readFile, stat } from "node:fs/promises";
import { blockDeviceName } from "../../disk/sysfs.ts";
import { parseSwapAreas, type SwapArea } from "./swap-area.ts";

/** The swap areas in use that are block devices, by their names in /sys/class/block. */
export async function readActiveSwaps(): Promise<Map<string, SwapArea>> {
  const areas = new Map<string, SwapArea>();
  for (const area of parseSwapAreas(await readFile("/proc/swaps", "utf8"))) {
    const node = await stat(area.path).catch(() => null); // a file of another mount namespace
    if (node?.isBlockDevice()) areas.set(await blockDeviceName(area.path), area);
  }
  return areas;
}
