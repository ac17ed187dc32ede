/** What the new OS is told about itself, for the next reimage: boot info. */
import { readdir } from "node:fs/promises";
import type { BootInfo } from "../disk/boot-info.ts";
import { identityOf } from "../disk/inventory.ts";
import type { RootedDirectory } from "../retention/rooted.ts";
import type { Saved } from "./save.ts";

/**
 * Describes the new OS that is mounted at `newRoot`. Paths are paths inside it; what is not found is an empty string.
 * @param proof the run, and what the disk read back as: by these a report that was lost can be made again.
 */
export async function describeNewOs(
  newRoot: RootedDirectory,
  saved: Saved,
  osPartition: string,
  proof: { readonly runId: string; readonly readbackSha256: string },
): Promise<BootInfo> {
  const boot = await listBoot(newRoot);
  const cmdline = await newRoot.readFile("/etc/kernel/cmdline");
  const osRelease = await newRoot.readFile("/etc/os-release").catch(() => null);
  return {
    image_id: saved.image.imageId,
    image_version: saved.image.version,
    primary_disk: saved.target.path,
    os_partition: osPartition,
    kernel: newest(boot, /^(vmlinuz|linux|bzImage)/),
    initrd: newest(boot, /^(initrd|initramfs)/),
    cmdline: cmdline?.toString().trim() ?? "",
    bootloaderid: /^ID="?([^"\n]*)/m.exec(osRelease?.toString() ?? "")?.[1] ?? "",
    disk: identityOf(saved.target),
    run_id: proof.runId,
    image_sha256: saved.image.sha256,
    readback_sha256: proof.readbackSha256,
  };
}

async function listBoot(newRoot: RootedDirectory): Promise<string[]> {
  if ((await newRoot.resolve("/boot")) === null) return [];
  using boot = newRoot.openDirectory("/boot");
  return await readdir(boot.path.toString());
}

/** The kernel with the highest version, as a path. */
function newest(names: readonly string[], pattern: RegExp): string {
  const matching = names.filter((name) => pattern.test(name)).sort(new Intl.Collator("en", { numeric: true }).compare);
  const last = matching.at(-1);
  return last === undefined ? "" : `/boot/${last}`;
}
