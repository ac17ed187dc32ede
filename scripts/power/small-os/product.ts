/** The old system's root with reimage on it, ready to be armed: program, kernel, initramfs, image, configuration. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { shell } from "../../kiosk/cache.ts";
import { type Place, putFile } from "./disks.ts";
import type { SmallKernel } from "./kernel.ts";

export interface ProductFiles {
  readonly kernel: SmallKernel;
  readonly program: string;
  readonly initramfs: string;
  /** As `reimage pack` made it; what lies beside it comes along. */
  readonly image: string;
  /** Of who has signed for the image. */
  readonly publicKey: string;
  readonly place: Place;
  /** A boot loader for the lifeboat; first it is tried without. */
  readonly loader?: string;
  /** Of the lifeboat's kernel, beside those that the old system was started with. */
  readonly append: string;
}

/** Fills the folder that becomes the old root. The tools of the initramfs are the old system's tools. */
export async function fillProduct(tree: string, files: ProductFiles): Promise<void> {
  await shell`cp -a build/initramfs/usr build/initramfs/bin build/initramfs/sbin build/initramfs/lib build/initramfs/lib64 ${tree}`;
  await shell`rm -r ${join(tree, "usr/lib/modules")} ${join(tree, "usr/bin/reimage")}`;
  await shell`cp -a ${join(files.kernel.modulesTree, "usr/lib/modules")} ${join(tree, "usr/lib/modules")}`;
  putFile(tree, "reimage/reimage", files.program);
  putFile(tree, "reimage/vmlinuz", files.kernel.image);
  putFile(tree, "reimage/initramfs.img", files.initramfs);
  if (files.loader !== undefined) putFile(tree, "reimage/loader.efi", files.loader);
  putFile(tree, "etc/reimage/image.pub", files.publicKey);
  await shell`cp ${await beside(files.image)} ${join(tree, "reimage")}`;
  mkdirSync(join(tree, "etc/reimage"), { recursive: true });
  writeFileSync(join(tree, "etc/reimage/reimage.yaml"), configuration(basename(files.image)));
  writeFileSync(join(tree, "etc/reimage/retentionlist.txt"), "@required /etc/machine-id\n/etc/ssh\n/var/lib/kiosk\n");
  writeFileSync(join(tree, "arm"), armScript(files));
  for (const program of ["arm", "reimage/reimage"]) chmodSync(join(tree, program), 0o755);
}

async function beside(image: string): Promise<string[]> {
  return (await shell`find ${join(image, "..")} -maxdepth 1 -name ${`${basename(image)}*`}`).stdout.trim().split("\n");
}

const configuration = (image: string): string => `image:
  source: LABEL=old-root:/reimage/${image}
target:
  disk: old-root
old:
  root: LABEL=old-root
new:
  root: 2
retention:
  list: /etc/reimage/retentionlist.txt
onSuccess: reboot
onFailure: reboot
shells: []
`;

function armScript({ place, append, loader }: ProductFiles): string {
  const arm = `/reimage/reimage arm --place ${place} --append "${append}"`;
  return `#!/bin/sh
export BUN_JSC_useDFGJIT=0 # quicker where the CPU is emulated
${loader === undefined ? `exec ${arm}` : `${arm}\nexec ${arm} --loader /reimage/loader.efi`}
`;
}
