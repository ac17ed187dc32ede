/**
 * Brings a kernel and its modules to build/kernel/, without root: Debian's current one by default, or what KERNEL= and
 * MODULES= name. Prints nothing when there is nothing to do.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { $ } from "zx";

/** A kernel image and the folder that holds its modules (`…/lib/modules/<version>`). */
export interface KernelFiles {
  readonly image: string;
  readonly modules: string;
  readonly version: string;
}

/** The package that carries the kernel, from `apt-cache depends linux-image-amd64`. */
export function parseKernelPackage(aptCacheDepends: string): string | null {
  return /^\s*Depends: (linux-image-\S+)/m.exec(aptCacheDepends)?.[1] ?? null;
}

/** Where the kernel to pack lies; fetches Debian's into `cache` unless KERNEL and MODULES are set. */
export async function fetchKernel(cache: string, environment = process.env): Promise<KernelFiles> {
  const { KERNEL: image, MODULES: modules } = environment;
  if (image && modules) {
    for (const path of [image, modules, join(modules, "modules.dep")])
      if (!existsSync(path)) throw new Error(`${path} does not exist`);
    return { image: resolve(image), modules: resolve(modules), version: basename(resolve(modules)) };
  }
  if (image || modules) throw new Error("KERNEL=<vmlinuz> and MODULES=<…/lib/modules/version> belong together");
  return fetchDebianKernel(cache);
}

/** Fetches the kernel that a package of Debian's depends on, with its modules. */
export async function fetchDebianKernel(cache: string, metaPackage = "linux-image-amd64"): Promise<KernelFiles> {
  const found = parseKernelPackage((await $({ quiet: true, nothrow: true })`apt-cache depends ${metaPackage}`).stdout);
  if (found === null) throw new Error(`apt knows no ${metaPackage}: run 'make packages' or 'apt-get update' first`);
  // The version belongs to the folder's name: a rebuilt package of the same name is another kernel.
  const version = (await $({ quiet: true })`apt-cache show --no-all-versions ${found}`).stdout;
  const folder = join(cache, `${found}_${/^Version: (\S+)/m.exec(version)?.[1] ?? "unknown"}`);
  if (!existsSync(folder)) {
    const partial = `${folder}.partial`;
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial, { recursive: true });
    console.log(`fetching ${basename(folder)}`);
    await $({ cwd: partial, quiet: true })`apt-get -q download ${found}`;
    const archive = readdirSync(partial).find((name) => name.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get download ${found} left no package in ${partial}`);
    await $({ cwd: partial, quiet: true })`dpkg -x ${archive} .`;
    rmSync(join(partial, archive));
    const { modules, version: kernelVersion } = locateKernel(partial);
    await $({
      quiet: true,
    })`/sbin/depmod -b ${partial} -F ${join(partial, "boot", `System.map-${kernelVersion}`)} ${kernelVersion}`;
    if (!existsSync(join(modules, "modules.dep"))) throw new Error(`depmod left no modules.dep in ${modules}`);
    await $({ quiet: true })`mv ${partial} ${folder}`;
  }
  return locateKernel(folder);
}

/** Kernel and modules in an unpacked package: /boot/vmlinuz-V and /lib/modules/V, or both below /usr/lib/modules/V. */
function locateKernel(folder: string): KernelFiles {
  for (const root of ["lib/modules", "usr/lib/modules"]) {
    const version = existsSync(join(folder, root)) ? readdirSync(join(folder, root))[0] : undefined;
    if (version === undefined) continue;
    const modules = join(folder, root, version);
    const image = [join(folder, "boot", `vmlinuz-${version}`), join(modules, "vmlinuz")].find(existsSync);
    if (image !== undefined) return { image, modules, version };
  }
  throw new Error(`${folder} holds no kernel with modules`);
}
