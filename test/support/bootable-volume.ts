/** FAT file systems that firmware boots, made by the usual tools, and a system so small that it only says its name. */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fetchKernel } from "../../scripts/fetch-kernel.ts";

export interface BootableVolume {
  readonly firmware: "bios" | "uefi";
  readonly sectorSizeBytes: 512 | 4096;
  readonly sizeMiB: number;
  /** Where on the disk it will lie. */
  readonly startBytes: number;
  /** What the system prints: `BOOTED <name>.` */
  readonly name: string;
  readonly initrd: string;
  /** Where the loader is; the removable-media path unless given. UEFI only. */
  readonly loaderPath?: string;
}

/**
 * An initrd that prints what booted, and each variable of the firmware in base64 where there are any, and powers the
 * machine off.
 */
export async function makeNamingInitrd(folder: string): Promise<string> {
  const tree = join(folder, "naming");
  for (const name of ["bin", "proc", "sys"]) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
  const kernel = await fetchKernel("build/kernel");
  copyFileSync(join(kernel.modules, "kernel/fs/efivarfs/efivarfs.ko"), join(tree, "efivarfs.ko"));
  writeFileSync(
    join(tree, "init"),
    `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for word in $(cat /proc/cmdline); do
  case $word in name=*) name=\${word#name=} ;; esac
done
efi=/sys/firmware/efi/efivars
insmod /efivarfs.ko 2>/dev/null && mount -t efivarfs efivarfs $efi && cd $efi &&
  for variable in Boot* Secure* Loader*; do echo "VARIABLE $variable $(base64 -w 0 <"$variable")"; done
echo "BOOTED $name."
poweroff -f
`,
  );
  for (const name of ["init", "bin/busybox"]) chmodSync(join(tree, name), 0o755);
  const initrd = join(folder, "naming.img");
  run("sh", ["-c", `cd '${tree}' && find . | cpio --quiet -o -H newc -R 0:0 >'${initrd}'`]);
  return initrd;
}

/** Writes the file system to `file`. */
export function makeBootableVolume(file: string, volume: BootableVolume): void {
  const { firmware, sectorSizeBytes, startBytes, name } = volume;
  writeFileSync(file, "");
  truncateSync(file, volume.sizeMiB << 20);
  const hidden = startBytes / sectorSizeBytes;
  run("mkfs.vfat", ["-S", String(sectorSizeBytes), "-h", String(hidden), "-n", "VOLUME", file]);
  const options = `console=ttyS0 quiet panic=5 name=${name}`;
  const put = (path: string, content: string): void => {
    const folders = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= folders.length; depth += 1) {
      run("mmd", ["-D", "s", "-i", file, `::${folders.slice(0, depth).join("/")}`], [0, 1]); // 1: it is there
    }
    run("mcopy", ["-i", file, content, `::${path}`]);
  };
  const putText = (path: string, text: string): void => {
    const source = `${file}.text`;
    writeFileSync(source, text);
    put(path, source);
  };
  put("vmlinuz", resolve("build/vmlinuz"));
  put("initrd.img", volume.initrd);
  if (firmware === "bios") {
    putText("syslinux.cfg", `DEFAULT it\nPROMPT 0\nLABEL it\nLINUX /vmlinuz\nINITRD /initrd.img\nAPPEND ${options}\n`);
    run("syslinux", ["--install", file]);
    return;
  }
  put(volume.loaderPath ?? "EFI/BOOT/BOOTX64.EFI", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
  putText("loader/loader.conf", "timeout 0\n");
  putText("loader/entries/it.conf", `title it\nlinux /vmlinuz\ninitrd /initrd.img\noptions ${options}\n`);
}

/** The boot code of Debian's syslinux for a first sector. */
export const syslinuxBootCode = ["/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin"].find(existsSync) ?? "";

function run(command: string, parameters: readonly string[], accepted: readonly number[] = [0]): void {
  const result = spawnSync(command, [...parameters], {
    encoding: "utf8",
    env: { ...process.env, MTOOLS_SKIP_CHECK: "1" },
  });
  if (result.error !== undefined) throw result.error;
  if (!accepted.includes(result.status ?? -1)) {
    throw new Error(`${command} ${parameters.join(" ")} ended with status ${result.status}: ${result.stderr}`);
  }
}
