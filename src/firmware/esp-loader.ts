/** Which program of an EFI system partition starts the OS on it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** What firmware starts by itself (UEFI specification, 3.5.1.1, for x64). */
export const removableMediaLoader = "/EFI/BOOT/BOOTX64.EFI";

/** What installers put into a folder of their own below \EFI; the ones before load the ones behind them. */
const vendorLoaders = ["shimx64.efi", "grubx64.efi", "systemd-bootx64.efi"];

/**
 * Looks into an EFI system partition that is mounted on `directory`. @returns the path on it: the one of removable media;
 * else the one that an installer has made; null where there is none, or more than one, so that nobody can say which.
 * @throws what reading a directory throws.
 */
export async function findEspLoader(directory: string): Promise<string | null> {
  const efi = await entryOf(directory, "EFI");
  if (efi === null) return null;
  const folders = await readdir(join(directory, efi), { withFileTypes: true });
  const found: { readonly path: string; readonly rank: number }[] = [];
  for (const folder of folders.filter((each) => each.isDirectory())) {
    const names = (await readdir(join(directory, efi, folder.name))).map((name) => name.toLowerCase());
    const isBoot = folder.name.toUpperCase() === "BOOT";
    const wanted = isBoot ? ["bootx64.efi"] : vendorLoaders;
    const rank = wanted.findIndex((loader) => names.includes(loader));
    if (rank < 0) continue;
    if (isBoot) return removableMediaLoader;
    found.push({ path: `/EFI/${folder.name}/${wanted[rank]}`, rank });
  }
  const best = Math.min(...found.map(({ rank }) => rank));
  const [first, ...others] = found.filter(({ rank }) => rank === best);
  return first === undefined || others.length > 0 ? null : first.path;
}

/** The name as it is written in a directory; FAT does not distinguish capitals. */
async function entryOf(directory: string, name: string): Promise<string | null> {
  const names = await readdir(directory);
  return names.find((each) => each.toUpperCase() === name) ?? null;
}
