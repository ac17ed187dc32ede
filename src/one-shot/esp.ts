/** The EFI system partition of the old OS, where it is mounted. */
import { join } from "node:path";
import { type BootFileSystem, readBootFileSystem } from "./file-system.ts";
import { isDirectory } from "./missing.ts";
import { locate } from "./old-root.ts";

export interface MountedEsp {
  /** On this machine, the old root included. */
  readonly path: string;
  readonly fileSystem: BootFileSystem;
}

/** The places where distributions mount it; in each, `inside` has to be a directory. */
export async function findEsp(root: string, inside: string): Promise<MountedEsp | null> {
  for (const place of ["/efi", "/boot", "/boot/efi"]) {
    const path = await locate(root, place);
    if (!(await isDirectory(join(path, inside)))) continue;
    const fileSystem = await readBootFileSystem(path);
    if (fileSystem.type === "vfat" && fileSystem.mountPoint === path) return { path, fileSystem };
  }
  return null;
}
