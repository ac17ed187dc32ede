/** Builds the shell initramfs of the folder seed/: busybox, bzip2, pv, blkid, the disk's drivers, and its scripts. Needs no root. */
import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { shell } from "../kiosk/cache.ts";
import { kioskKernel } from "../kiosk/initrd.ts";

/** Where the libraries of a program lie, from what ldd(1) prints (pure). */
export function parseLibraries(ldd: string): string[] {
  return [...ldd.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
}

/** Writes the initramfs to `file`. It retains the `paths`, from an image that lies in the old root as /images/os.img.bz2. */
export async function makeSeedInitramfs(file: string, paths: readonly string[]): Promise<void> {
  const tree = `${file}.tree`;
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(join(tree, to)), { recursive: true });
    cpSync(from, join(tree, to), { dereference: true, recursive: true });
  };
  for (const name of ["proc", "sys", "dev", "sysroot"]) mkdirSync(join(tree, name), { recursive: true });
  const scripts = join(import.meta.dirname, "seed");
  for (const name of readdirSync(scripts)) copy(join(scripts, name), name);
  chmodSync(join(tree, "init"), 0o755);
  writeFileSync(join(tree, "retentionlist.txt"), paths.map((path) => `${path}\n`).join(""));
  copy("/bin/busybox", "bin/busybox");
  await shell`ln -sf busybox ${join(tree, "bin/sh")}`;
  for (const name of ["bzip2", "pv", "blkid"]) {
    const path = Bun.which(name, { PATH: `${process.env.PATH}:/usr/sbin:/sbin` });
    if (path === null) throw new Error(`${name} is not installed: make packages`);
    copy(path, `bin/${name}`);
    for (const library of parseLibraries((await shell`ldd ${path}`).stdout)) copy(library, library);
  }
  await shell`ln -s bzip2 ${join(tree, "bin/bzcat")}`; // busybox --install leaves what is there
  copy((await kioskKernel()).modulesTree, ".");
  await shell({ cwd: tree })`find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0 | gzip -1 > ${file}`;
  await shell`rm -r ${tree}`;
}
