/** Disks with a BIOS boot loader and an old OS that only says its name: what one-shot entries are tried on. Needs root. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeArchive } from "../../scripts/kiosk/append-config.ts";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { makeNamingInitrd } from "./bootable-volume.ts";
import { runTestCommand, temporaryDirectory } from "./loop-device.ts";
import { put } from "./make-disk.ts";
import { partition } from "./micro-kiosk.ts";

const MiB = 1 << 20;
const START_MIB = 1;
const SIZE_MIB = 160;

export const kernel = resolve("build/vmlinuz");

/** What the one boot says, with the command line that it was given and the configuration archive that it found. */
export const oneBootSays = /ONE-BOOT marker-of-the-archive wanted=yes/;
/** What the old OS says before it powers off. */
export const oldOsSays = /BOOTED old/;

/** An initramfs that says what it got and restarts the machine; `then` in place of restarting. */
export function makeOneBootInitramfs(folder: string, then = "reboot -f"): string {
  const tree = join(folder, "one-boot");
  mkdirSync(join(tree, "bin"), { recursive: true });
  mkdirSync(join(tree, "proc"));
  copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
  put(
    tree,
    "/init",
    `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
for word in $(cat /proc/cmdline); do case $word in wanted=*) wanted=$word ;; esac; done
echo "ONE-BOOT $(cat /etc/reimage/marker) $wanted" >/dev/console
sleep 0.2
${then}
`,
    0o755,
  );
  chmodSync(join(tree, "bin/busybox"), 0o755);
  const archive = join(folder, "one-boot.img");
  // A byte more than a multiple of four: the configuration archive behind it has to be aligned.
  execFileSync("sh", ["-c", `cd '${tree}' && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >'${archive}'`]);
  const sizeBytes = Bun.file(archive).size;
  execFileSync("truncate", ["-s", String(sizeBytes + ((5 - (sizeBytes % 4)) % 4)), archive]);
  return archive;
}

/** The archive with the marker that `oneBootSays` waits for, or with other files of /etc/reimage. */
export async function makeConfigArchive(
  folder: string,
  files: Readonly<Record<string, string>> = { marker: "marker-of-the-archive" },
): Promise<Uint8Array> {
  const archive = join(folder, "config.cpio");
  const named = Object.entries(files).map(([name, text]) => [`etc/reimage/${name}`, text]);
  await makeArchive(Object.fromEntries(named), archive);
  return await Bun.file(archive).bytes();
}

/** A disk with one partition: the old root, with its kernel. Its path. */
async function makeLoaderDisk(
  folder: string,
  fill: (root: string) => void,
  features: readonly string[],
  grubPrefix?: string,
): Promise<string> {
  const tree = join(folder, "old-tree");
  mkdirSync(join(tree, "boot"), { recursive: true });
  fill(tree);
  const root = join(folder, "root.ext4");
  const options = ["-q", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0", ...features];
  await runTestCommand(["fakeroot", "mke2fs", ...options, "-d", tree, root, `${SIZE_MIB}M`]);
  const disk = join(folder, "disk.img");
  await assembleDisk(disk, {
    table: "mbr",
    sizeMiB: START_MIB + SIZE_MIB + 1,
    partitions: [partition(1, START_MIB, SIZE_MIB, "83", root)],
    ...(grubPrefix === undefined ? {} : { grubPrefix }),
  });
  // Not by mke2fs, which leaves holes in files: extlinux reads none.
  const initrd = await makeNamingInitrd(folder);
  await usingRoot(disk, async (mounted) => {
    copyFileSync(kernel, join(mounted, "boot/vmlinuz"));
    copyFileSync(initrd, join(mounted, "boot/initrd.img"));
  });
  return disk;
}

const serialLines = [
  "serial --unit=0 --speed=115200",
  "terminal_input serial console",
  "terminal_output serial console",
];

/** The output of grub-mkconfig's own parts, with a menu entry for the old OS between them. */
export function makeGrubConfig(defaultEntry = "0"): string {
  const part = (name: string): string =>
    execFileSync("bash", [join("/etc/grub.d", name)], {
      encoding: "utf8",
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        pkgdatadir: "/usr/share/grub",
        GRUB_TIMEOUT: "0",
        GRUB_DEFAULT: defaultEntry,
      },
      stdio: ["ignore", "pipe", "ignore"],
    });
  const entry = [
    "menuentry 'old' --id old {",
    "  linux /boot/vmlinuz console=ttyS0 quiet panic=5 name=old",
    "  initrd /boot/initrd.img",
    "}",
  ];
  return [part("00_header"), ...serialLines, ...entry, part("41_custom")].join("\n");
}

/** GRUB as it is installed on a Debian: grub.cfg of grub-mkconfig, its modules, and an environment block. */
export async function makeGrubDisk(folder: string): Promise<string> {
  return await makeLoaderDisk(
    folder,
    (root) => {
      cpSync("/usr/lib/grub/i386-pc", join(root, "boot/grub/i386-pc"), { recursive: true });
      writeFileSync(join(root, "boot/grub/grub.cfg"), makeGrubConfig());
      execFileSync("grub-editenv", [join(root, "boot/grub/grubenv"), "create"]);
    },
    [],
    "(,msdos1)/boot/grub",
  );
}

/** extlinux, installed as its own command does it. */
export async function makeExtlinuxDisk(folder: string): Promise<string> {
  const config = [
    "SERIAL 0 115200",
    "DEFAULT old",
    "PROMPT 0",
    "TIMEOUT 10",
    "LABEL old",
    "  LINUX /boot/vmlinuz",
    "  INITRD /boot/initrd.img",
    "  APPEND console=ttyS0 quiet panic=5 name=old",
    "",
  ];
  // extlinux 6.03 does not know what mke2fs makes today.
  const disk = await makeLoaderDisk(folder, (root) => put(root, "/boot/extlinux/extlinux.conf", config.join("\n")), [
    "-O",
    "^64bit,^metadata_csum",
  ]);
  await usingRoot(disk, async (root) => {
    await runTestCommand(["extlinux", "--install", join(root, "boot/extlinux")]);
  });
  const active = ["sfdisk", "--quiet", "--activate", disk, "1"];
  await runTestCommand(active);
  await runTestCommand(["dd", "if=/usr/lib/syslinux/mbr/mbr.bin", `of=${disk}`, "bs=440", "count=1", "conv=notrunc"]);
  return disk;
}

/** Mounts the root of such a disk, writable, and takes it away again. */
export async function usingRoot<T>(disk: string, work: (root: string) => Promise<T>): Promise<T> {
  await using directory = await temporaryDirectory();
  const range = `offset=${START_MIB * MiB},sizelimit=${SIZE_MIB * MiB}`;
  await runTestCommand(["mount", "-o", `loop,${range}`, disk, directory.dir]);
  try {
    return await work(directory.dir);
  } finally {
    await runTestCommand(["umount", directory.dir]);
  }
}
