/** A UEFI machine whose old OS asks for one boot itself, as `reimage arm` does: systemd-boot, and a root with our program. */
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { assembleDisk, type PartitionPlan } from "../../scripts/kiosk/disk-image.ts";
import { kioskKernel } from "../../scripts/kiosk/initrd.ts";
import { runTestCommand } from "./loop-device.ts";
import { put } from "./make-disk.ts";
import { kernel, makeConfigArchive, makeOneBootInitramfs } from "./one-shot-disks.ts";

const ESP_MIB = 64;
const ROOT_MIB = 320;
const systemdBoot = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/**
 * Makes the disk. The old OS runs the next one of `scripts` at each boot, and powers off after the last one.
 * @param scripts shell commands; `one-shot` is the program of one-shot-program.ts
 */
export async function makeGuestDisk(folder: string, scripts: readonly string[]): Promise<string> {
  const { vmlinuz, initrd } = await kioskKernel();
  const tree = join(folder, "guest");
  mkdirSync(tree);
  for (const name of ["dev", "proc", "sys", "run", "tmp", "efi"]) mkdirSync(join(tree, name));
  copyTools(join(tree, "usr"));
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    execFileSync("ln", ["-s", name === "sbin" ? "usr/bin" : `usr/${name}`, join(tree, name)]);
  }
  compileProgram(join(tree, "usr/bin/one-shot"));
  mkdirSync(join(tree, "one-shot"));
  copyFileSync(kernel, join(tree, "one-shot/vmlinuz"));
  copyFileSync(makeOneBootInitramfs(folder), join(tree, "one-shot/initramfs.img"));
  writeFileSync(join(tree, "one-shot/config.cpio"), await makeConfigArchive(folder));
  for (const [index, script] of scripts.entries()) put(tree, `/steps/${index + 1}`, script);
  put(tree, "/usr/bin/init", init, 0o755);
  const root = join(folder, "guest-root.ext4");
  const options = ["-q", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0", "-L", "root"];
  await runTestCommand(["fakeroot", "mke2fs", ...options, "-d", tree, root, `${ROOT_MIB}M`]);
  const esp = await makeEsp(folder, vmlinuz, initrd);
  const partitions: PartitionPlan[] = [
    { number: 1, startMiB: 1, sizeMiB: ESP_MIB, type: "uefi", name: "esp", contents: esp },
    { number: 2, startMiB: 1 + ESP_MIB, sizeMiB: ROOT_MIB, type: "linux", name: "root", contents: root },
  ];
  const disk = join(folder, "guest.img");
  await assembleDisk(disk, { table: "gpt", sizeMiB: ESP_MIB + ROOT_MIB + 2, partitions });
  return disk;
}

const init = `#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
mount -t vfat "$(blkid -L ESP)" /efi
step=$(($(cat /step 2>/dev/null || echo 0) + 1))
echo $step >/step
exec >/dev/console 2>&1
if [ -e /steps/$step ]; then
    echo "OLD-OS step $step"
    sh /steps/$step </dev/null || echo "FAILED step $step with status $?"
    echo "OLD-OS step $step is over"
    umount /efi && mount -o remount,ro / && reboot -f
fi
umount /efi && mount -o remount,ro /
poweroff -f
`;

/** Libraries, modules and commands of the initramfs: all but its program. */
function copyTools(usr: string): void {
  for (const name of readdirSync(resolve("build/initramfs/usr"))) {
    cpSync(resolve("build/initramfs/usr", name), join(usr, name), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.endsWith("/bin/reimage"),
    });
  }
}

function compileProgram(to: string): void {
  execFileSync(process.execPath, [
    ...["build", "--compile", "--target=bun-linux-x64-baseline", `--compile-executable-path=${process.execPath}`],
    ...["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
    ...[`--outfile=${to}`, join(import.meta.dir, "one-shot-program.ts")],
  ]);
}

/** systemd-boot in the place for removable media, so that no boot entry is needed. */
async function makeEsp(folder: string, vmlinuz: string, initrd: string): Promise<string> {
  const tree = join(folder, "esp");
  mkdirSync(join(tree, "EFI/BOOT"), { recursive: true });
  copyFileSync(systemdBoot, join(tree, "EFI/BOOT/BOOTX64.EFI"));
  copyFileSync(vmlinuz, join(tree, "vmlinuz"));
  copyFileSync(initrd, join(tree, "initrd.img"));
  put(tree, "/loader/loader.conf", "timeout 0\n");
  // Of all names this one is the lowest: where the order of the menu decides, the entry of the one boot is above it.
  const options = "root=LABEL=root console=ttyS0 quiet panic=5";
  put(tree, "/loader/entries/old.conf", `title old\nlinux /vmlinuz\ninitrd /initrd.img\noptions ${options}\n`);
  const esp = join(folder, "esp.fat");
  await runTestCommand(["truncate", "-s", `${ESP_MIB}M`, esp]);
  await runTestCommand(["mkfs.vfat", "-n", "ESP", esp]);
  for (const name of readdirSync(tree)) await runTestCommand(["mcopy", "-s", "-i", esp, join(tree, name), "::/"]);
  return esp;
}
