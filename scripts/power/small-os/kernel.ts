/**
 * The kernel of the sweep: Debian's for clouds. It is the usual one with fewer drivers and, what counts under emulation,
 * compressed with LZ4: it is up in a second, where the usual kernel takes four to decompress itself.
 */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type ModuleDependencies, parseModulesDep, selectModules } from "../../../initramfs/select-modules.ts";
import { fetchDebianKernel, type KernelFiles } from "../../fetch-kernel.ts";
import { cached, recipeHash, shell } from "../../kiosk/cache.ts";

/** What the small systems' disk needs, and what `reimage` needs in the initramfs and in the old system. */
const diskDrivers = ["drivers/virtio/virtio_pci", "drivers/block/virtio_blk"];
const furtherModules = [
  "fs/fat/vfat",
  "fs/nls/nls_cp437",
  "fs/nls/nls_ascii",
  "fs/efivarfs/efivarfs",
  "drivers/block/loop",
];

export interface SmallKernel extends KernelFiles {
  /** Loads the driver of the disk, and starts what is on it. */
  readonly initrd: string;
  /** Holds usr/lib/modules/<version>. */
  readonly modulesTree: string;
}

export async function smallKernel(): Promise<SmallKernel> {
  const kernel = await fetchDebianKernel("build/kernel", "linux-image-cloud-amd64");
  const initrdInit = join(import.meta.dirname, "initrd-init");
  const recipe = [
    readFileSync(import.meta.filename, "utf8"),
    kernel.image,
    ...diskDrivers,
    ...furtherModules,
    readFileSync(initrdInit, "utf8"),
  ];
  const folder = await cached("small-kernel", recipeHash(recipe), async (partial) => {
    const dependencies = parseModulesDep(readFileSync(join(kernel.modules, "modules.dep"), "utf8"));
    const modulesOf = (names: readonly string[]): readonly string[] => selectModules(dependencies, names).modules;

    const modules = join(partial, "modules/usr/lib/modules", kernel.version);
    for (const module of modulesOf([...diskDrivers, ...furtherModules])) {
      mkdirSync(join(modules, dirname(module)), { recursive: true });
      copyFileSync(join(kernel.modules, module), join(modules, module));
    }
    for (const name of ["order", "builtin", "builtin.modinfo"])
      copyFileSync(join(kernel.modules, `modules.${name}`), join(modules, `modules.${name}`));
    // depmod looks below lib/modules, which is where the initramfs has a link.
    await shell`ln -s usr/lib ${join(partial, "modules/lib")}`;
    await shell`depmod -b ${join(partial, "modules")} ${kernel.version}`;
    await shell`rm ${join(partial, "modules/lib")}`;

    const tree = join(partial, "initrd");
    for (const name of ["bin", "proc", "sys", "dev", "root"]) mkdirSync(join(tree, name), { recursive: true });
    copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
    copyFileSync(initrdInit, join(tree, "init"));
    for (const name of ["init", "bin/busybox"]) chmodSync(join(tree, name), 0o755);
    await packProgram("/sbin/e2fsck", tree);
    const inOrder = loadOrder(modulesOf(diskDrivers), dependencies);
    for (const module of inOrder) copyFileSync(join(kernel.modules, module), join(tree, basename(module)));
    writeFileSync(join(tree, "drivers"), inOrder.map((module) => `${basename(module)}\n`).join(""));
    await shell({ cwd: tree })`find . | cpio --quiet -o -H newc -R 0:0 | lz4 -q -l -9 - ../initrd.img`;
    await shell`rm -r ${tree}`;
  });
  return { ...kernel, initrd: join(folder, "initrd.img"), modulesTree: join(folder, "modules") };
}

/** Copies a program and its libraries to the same paths in a tree. */
async function packProgram(path: string, tree: string): Promise<void> {
  const linked = (await shell`ldd ${path}`).stdout.matchAll(/(\/\S+) \(0x/g);
  for (const file of [path, ...[...linked].map(([, library]) => library ?? "")]) {
    mkdirSync(join(tree, dirname(file)), { recursive: true });
    copyFileSync(file, join(tree, file));
    chmodSync(join(tree, file), 0o755);
  }
}

/** Every module behind those that it depends on: they have fewer dependencies than it, as the lists are closed. */
function loadOrder(modules: readonly string[], dependencies: ModuleDependencies): string[] {
  const count = (module: string): number => dependencies.get(module)?.length ?? 0;
  return modules.toSorted((a, b) => count(a) - count(b));
}
