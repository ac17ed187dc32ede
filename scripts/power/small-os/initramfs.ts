/**
 * The initramfs of the sweep: the tree of build/initramfs as it is, /init and tools included, with these differences: the
 * program may be another one (a mutant), the modules are the few of the sweep's kernel, and it is compressed with LZ4, which an
 * emulated CPU unpacks in a second.
 */
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { cached, recipeHash, shell } from "../../kiosk/cache.ts";
import type { SmallKernel } from "./kernel.ts";

const productTree = "build/initramfs";

/** Makes the initramfs around `program`, or takes it from the cache. @returns its path. */
export async function smallInitramfs(kernel: SmallKernel, program: string): Promise<string> {
  if (!existsSync(join(productTree, "zz-complete")))
    throw new Error("build/initramfs is not there: run `make initramfs`");
  const recipe = [kernel.modulesTree, digestOfFile(program), treeStamp(), readFileSync(import.meta.filename, "utf8")];
  // By the program's name, so that a mutant's does not take the place of the one that is used beside it.
  const folder = await cached(`small-initramfs-${basename(program)}`, recipeHash(recipe), async (partial) => {
    const tree = join(partial, "tree");
    await shell`cp -a ${productTree} ${tree}`;
    await shell`rm -r ${join(tree, "usr/lib/modules")}`;
    await shell`cp -a ${join(kernel.modulesTree, "usr/lib/modules")} ${join(tree, "usr/lib/modules")}`;
    copyFileSync(program, join(tree, "usr/bin/reimage"));
    chmodSync(join(tree, "usr/bin/reimage"), 0o755);
    // zz-complete, which /init looks for, is the last in this order too.
    await shell({
      cwd: tree,
    })`find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | lz4 -q -l -9 - ../initramfs.img`;
    // The kernel looks for a further archive at a multiple of four bytes.
    await shell`truncate -s %512 ${join(partial, "initramfs.img")}`;
    await shell`rm -r ${tree}`;
  });
  return join(folder, "initramfs.img");
}

/** Changes when the product's initramfs is built anew. */
const treeStamp = (): string => `${statSync("build/initramfs.img").mtimeMs}`;

function digestOfFile(path: string): string {
  return new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
}
