/** The kernel, and the small initrd that the kiosk systems boot with: load the drivers, find the root by label, go. */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseModulesDep, selectModules } from "../../initramfs/select-modules.ts";
import { fetchKernel } from "../fetch-kernel.ts";
import { cached, recipeHash, scriptsDirectory, shell } from "./cache.ts";

/** What initrd-init loads, in this order. */
const drivers = [
  "fs/ext4/ext4",
  "crypto/crc32c_generic",
  "drivers/ata/ahci",
  "drivers/scsi/sd_mod",
  "drivers/nvme/host/nvme",
  "drivers/virtio/virtio_pci",
  "drivers/block/virtio_blk",
  "drivers/scsi/virtio_scsi",
];
/** What the systems load later, from their own /lib/modules. */
const further = ["fs/fat/vfat", "fs/nls/nls_cp437", "fs/nls/nls_ascii", "drivers/char/hw_random/virtio-rng"];

/** Kernel, initrd, and a tree with lib/modules/<version> for the systems' root. */
export interface KioskKernel {
  readonly vmlinuz: string;
  readonly initrd: string;
  readonly modulesTree: string;
}

export async function kioskKernel(): Promise<KioskKernel> {
  const kernel = await fetchKernel("build/kernel");
  const hash = recipeHash([kernel.image, ...drivers, ...further], ["initrd-init"]);
  const folder = await cached("kernel", hash, async (partial) => {
    const builtin = readFileSync(join(kernel.modules, "modules.builtin"), "utf8").split("\n").filter(Boolean);
    const dependencies = parseModulesDep(readFileSync(join(kernel.modules, "modules.dep"), "utf8"));
    const copy = async (names: readonly string[], tree: string): Promise<void> => {
      const selection = selectModules(dependencies, names, builtin);
      if (selection.unmatched.length > 0) throw new Error(`this kernel has no ${selection.unmatched.join(", ")}`);
      for (const module of selection.modules) {
        const destination = join(tree, "lib/modules", kernel.version, module);
        mkdirSync(dirname(destination), { recursive: true });
        copyFileSync(join(kernel.modules, module), destination);
      }
      await shell`cp ${["order", "builtin", "builtin.modinfo"].map((suffix) => join(kernel.modules, `modules.${suffix}`))} ${join(tree, "lib/modules", kernel.version)}`;
      await shell`depmod -b ${tree} ${kernel.version}`;
    };
    await copy([...drivers, ...further], join(partial, "modules"));
    const tree = join(partial, "initrd");
    await copy(drivers, tree);
    for (const name of ["bin", "proc", "sys", "dev", "root"]) mkdirSync(join(tree, name));
    copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
    copyFileSync(join(scriptsDirectory, "initrd-init"), join(tree, "init"));
    for (const name of ["init", "bin/busybox"]) chmodSync(join(tree, name), 0o755);
    writeFileSync(join(tree, "drivers"), drivers.map((driver) => `${basename(driver)}\n`).join(""));
    await shell({ cwd: tree })`find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >../initrd.img`;
    await shell`rm -r ${tree}`;
    copyFileSync(kernel.image, join(partial, "vmlinuz"));
  });
  return { vmlinuz: join(folder, "vmlinuz"), initrd: join(folder, "initrd.img"), modulesTree: join(folder, "modules") };
}
