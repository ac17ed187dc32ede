/** The kiosk of `make demo-power`: the usual old disk, with one more partition that holds what arming needs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { shell } from "../kiosk/cache.ts";
import { kioskConfig } from "../kiosk/config.ts";
import type { Kiosk } from "../kiosk/make-kiosk.ts";
import { debugfs, type KioskDisk, readFileIn } from "./kiosk-disk.ts";

const updateMiB = 512;

const reimage = [process.execPath, join(import.meta.dirname, "../../src/main.ts")];

/** Where the technician mounts the partition, and finds the program. */
export const mountPoint = "/mnt";

/**
 * Makes the disk in `folder`, which has to be there. The partition is behind everything that the new image writes; the
 * lifeboat will be a file in it. Root may log in without a password.
 */
export async function makeOldKiosk(kiosk: Kiosk, folder: string): Promise<KioskDisk> {
  const disk = { file: join(folder, "kiosk.img"), layout: kiosk.layout.old };
  const { sizeMiB } = disk.layout;
  await shell`cp --sparse=always ${kiosk.oldDisk} ${disk.file}`;
  await shell`truncate -s ${sizeMiB + updateMiB + 1}M ${disk.file}`; // the last MiB belongs to nobody
  await shell({
    input: `3 : start=${sizeMiB}MiB, size=${updateMiB}MiB, type=83\n`,
  })`sfdisk -q --append --no-reread ${disk.file}`;
  const update = await makeUpdate(kiosk, folder);
  await shell`dd if=${update} of=${disk.file} bs=1M seek=${sizeMiB} conv=notrunc,sparse status=none`;
  await shell`rm ${update}`;
  await openForRoot(disk, folder);
  return disk;
}

/** An ext4 with the executable, kernel, initramfs, the signed image, and the configuration. */
async function makeUpdate(kiosk: Kiosk, folder: string): Promise<string> {
  const tree = join(folder, "update");
  await shell`mkdir ${tree}`;
  await shell`cp --sparse=always build/reimage build/vmlinuz build/initramfs.img ${tree}`;
  await shell`cp --sparse=always ${kiosk.newImage} ${join(tree, "os.img")}`;
  const secretKey = join(folder, "image.key");
  await shell`${reimage} pack --keygen --secret-key ${secretKey} --public-key ${join(tree, "image.pub")}`;
  await shell`${reimage} pack ${join(tree, "os.img")} --level 6 --image-id kiosk-2026.11 --image-version 11 --secret-key ${secretKey}`;
  await shell`rm ${join(tree, "os.img")} ${secretKey}`;
  const { "reimage.yaml": yaml, "retentionlist.txt": list } = kioskConfig("debian", "mbr");
  const here = yaml
    .replace(/^ {2}source: .*$/m, `  source: LABEL=update:/os.img.zst\n  publicKey: ${mountPoint}/image.pub`)
    .replace("/etc/reimage/retentionlist.txt", `${mountPoint}/retentionlist.txt`);
  writeFileSync(join(tree, "reimage.yaml"), here);
  writeFileSync(join(tree, "retentionlist.txt"), list);
  const update = `${tree}.ext4`;
  await shell`fakeroot mke2fs -q -t ext4 -m 0 -L update -d ${tree} ${update} ${updateMiB}M`;
  await shell`rm -r ${tree}`;
  return update;
}

/** Root without a password, and zstd, as a Debian would have it after `apt install zstd`. */
async function openForRoot(disk: KioskDisk, folder: string): Promise<void> {
  const shadow = join(folder, "shadow");
  const text = await readFileIn(disk, "root", "/etc/shadow");
  writeFileSync(shadow, `${text.replace(/^root:[^:]*:/m, "root::")}\n`);
  const zstd = (await shell`realpath ${(await shell`command -v zstd`).stdout.trim()}`).stdout.trim();
  await debugfs(
    disk,
    "root",
    "rm /etc/shadow",
    `write ${shadow} /etc/shadow`,
    "sif /etc/shadow mode 0100600",
    "rm /usr/bin/zstd",
    `write ${zstd} /usr/bin/zstd`,
    "sif /usr/bin/zstd mode 0100755",
  );
  await shell`rm ${shadow}`;
}
