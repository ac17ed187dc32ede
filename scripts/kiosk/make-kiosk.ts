/** Makes the virtual kiosks that the demo and the VM tests reimage: the old disk and the new image, from real systems. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { baseSystem } from "./base-system.ts";
import { cached, recipeHash, scriptsDirectory, shell } from "./cache.ts";
import { assembleDisk, makeEfiSystemPartition, type PartitionPlan } from "./disk-image.ts";
import { kioskKernel } from "./initrd.ts";
import { type DiskLayout, layouts, type PartitionLayout, type Size, type Table } from "./layouts.ts";

/** A kiosk before its reimage, in the cache: write to copies or overlays only. */
export interface Kiosk {
  readonly size: Size;
  readonly table: Table;
  /** The whole old disk, raw and sparse, with the compressed image on it. */
  readonly oldDisk: string;
  /** The image as it must be on the new disk, raw. */
  readonly newImage: string;
  /** Of who signed the image; null: nobody has. */
  readonly publicKey: string | null;
  readonly layout: { readonly old: DiskLayout; readonly new: DiskLayout };
}

const partitionTypes: Readonly<Record<Table, Readonly<Record<PartitionLayout["holds"], string>>>> = {
  mbr: { boot: "83", root: "83", data: "83", kiosk: "83", esp: "ef", extended: "5" },
  gpt: { boot: "linux", root: "linux", data: "linux", kiosk: "linux", esp: "uefi", extended: "linux" },
};

/** Where GRUB finds its menu: in the file system of /boot, or in /boot of the root. */
function grubPrefix(table: Table, layout: DiskLayout): string {
  const boot = layout.partitions.find((p) => p.holds === "boot");
  const root = layout.partitions.find((p) => p.holds === "root");
  const scheme = table === "mbr" ? "msdos" : "gpt";
  return boot === undefined ? `(,${scheme}${root?.number})/boot/grub` : `(,${scheme}${boot.number})/grub`;
}

/** Makes the file systems of one system and the disk that they make up, in `folder`; returns the disk. */
async function makeDisk(
  folder: string,
  system: "old" | "new",
  size: Size,
  table: Table,
  image: string | null,
): Promise<string> {
  const layout = layouts[`${size}-${table}`][system];
  const kernel = await kioskKernel();
  const work = join(folder, system);
  await shell`mkdir ${work}`;
  const sizeOf = (holds: string): string => String(layout.partitions.find((p) => p.holds === holds)?.sizeMiB ?? "");
  const environment = {
    SYSTEM: size === "tiny" ? `tiny-${system}` : system,
    TABLE: table,
    WORK: work,
    BASE: size === "tiny" ? "" : await baseSystem(),
    BUSYBOX: "/bin/busybox",
    KERNEL_MODULES: kernel.modulesTree,
    VMLINUZ: kernel.vmlinuz,
    INITRD: kernel.initrd,
    IMAGE: image ?? "",
    BOOT_MIB: sizeOf("boot"),
    ROOT_MIB: sizeOf("root"),
    DATA_MIB: sizeOf("data"),
    KIOSK_MIB: sizeOf("kiosk"),
    GRUB_TIMEOUT: system === "old" ? "3" : "0",
  };
  const settings = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
  await shell`env ${settings} fakeroot ${join(scriptsDirectory, "make-filesystems.sh")}`;

  const contentsOf = (holds: PartitionLayout["holds"]): string | null =>
    holds === "extended" ? null : join(work, holds === "esp" ? "esp.fat" : `${holds}.ext4`);
  const esp = layout.partitions.find((p) => p.holds === "esp");
  const prefix = grubPrefix(table, layout);
  if (esp !== undefined) await makeEfiSystemPartition(join(work, "esp.fat"), esp.sizeMiB, prefix);
  const partitions = layout.partitions.map((p): PartitionPlan => {
    const named = table === "gpt" ? { name: `${system}-${p.holds}` } : {};
    return { ...p, ...named, type: partitionTypes[table][p.holds], contents: contentsOf(p.holds) };
  });
  const disk = join(folder, `${system}.img`);
  await assembleDisk(disk, {
    table,
    sizeMiB: layout.sizeMiB,
    partitions,
    ...(esp === undefined ? { grubPrefix: prefix } : {}),
  });
  await shell`rm -r ${work}`;
  return disk;
}

const reimage = [process.execPath, join(scriptsDirectory, "../../src/main.ts")];

/** Packs an image and signs for it, as an operator would; see docs/signing.md. Quickly rather than well. */
async function packSigned(image: string, folder: string): Promise<void> {
  const keys = ["--secret-key", join(folder, "image.key"), "--public-key", join(folder, "image.pub")];
  await shell`${reimage} pack --keygen ${keys}`;
  const options = ["--level", "6", "--image-id", "kiosk-2026.11", "--image-version", "11", ...keys.slice(0, 2)];
  await shell`${reimage} pack ${image} ${options}`;
}

/** Makes a kiosk, or finds it in build/cache. */
export async function makeKiosk(size: Size, table: Table): Promise<Kiosk> {
  const layout = layouts[`${size}-${table}`];
  const base = size === "tiny" ? "" : await baseSystem();
  const scripts = readdirSync(scriptsDirectory)
    .filter((name) => name.endsWith(".sh"))
    .sort();
  const recipe = [...scripts, "initrd-init", "initrd.ts", "disk-image.ts", "make-kiosk.ts"];
  const hash = recipeHash([JSON.stringify(layout), base, (await kioskKernel()).vmlinuz], recipe);
  const folder = await cached(`kiosk-${size}-${table}`, hash, async (partial) => {
    console.log(`making the ${size} kiosk with ${table === "mbr" ? "MBR and BIOS" : "GPT and UEFI"}`);
    const newImage = await makeDisk(partial, "new", size, table, null);
    await shell`lbzip2 -k ${newImage}`;
    // Half of the kiosks have a signed one; the others have what people had before: a bz2 and nothing else.
    if (table === "gpt") await packSigned(newImage, partial);
    await makeDisk(partial, "old", size, table, newImage);
  });
  const newImage = join(folder, "new.img");
  const publicKey = table === "gpt" ? join(folder, "image.pub") : null;
  return { size, table, layout, oldDisk: join(folder, "old.img"), newImage, publicKey };
}

if (import.meta.main) {
  for (const size of ["tiny", "debian"] as const)
    for (const table of ["mbr", "gpt"] as const) await makeKiosk(size, table);
}
