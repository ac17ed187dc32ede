/** A machine whose network card boots by iPXE, as QEMU's do, before its disk; and the small things that it boots. */
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTestCommand } from "./loop-device.ts";
import { hostSeenFromGuest } from "./network-cards.ts";
import { startVm, type Vm } from "./qemu.ts";

/** What the boot sector of the disk says, on the serial port. */
export const diskSays = "this is the local disk";
/** What the small initramfs says, followed by its kernel command line; then it reboots the machine. */
export const installerSays = "installer started with";

const SECTOR_BYTES = 512;
const COM1 = 0x3f8;

/**
 * A boot sector for a BIOS that writes `text` to the serial port and stops:
 * `mov si, text; mov dx, COM1; next: cs lodsb; test al, al; jz stop; out dx, al; jmp next; stop: hlt; jmp stop`.
 */
function bootSector(text: string): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES);
  const code = [
    0xbe,
    0,
    0,
    0xba,
    COM1 & 255,
    COM1 >> 8,
    0x2e,
    0xac,
    0x84,
    0xc0,
    0x74,
    3,
    0xee,
    0xeb,
    0xf7,
    0xf4,
    0xeb,
    0xfd,
  ];
  const textAt = 0x7c00 + code.length;
  sector.set(code);
  sector.writeUInt16LE(textAt, 1);
  sector.write(`\n${text}\n\0`, code.length, "latin1");
  sector.writeUInt16LE(0xaa55, SECTOR_BYTES - 2);
  return sector;
}

/** `initrd.img`: says what it was started with, and reboots, as an installer does that calls nobody. */
export async function makeSmallInitramfs(directory: string): Promise<string> {
  const tree = join(directory, "initramfs");
  for (const name of ["bin", "proc", "dev"]) await mkdir(join(tree, name), { recursive: true });
  await copyFile("/usr/bin/busybox", join(tree, "bin/busybox"));
  const init = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "${installerSays} $(/bin/busybox cat /proc/cmdline)"
/bin/busybox sleep 1
/bin/busybox reboot -f
`;
  await writeFile(join(tree, "init"), init);
  await chmod(join(tree, "init"), 0o755);
  const image = join(directory, "initrd.img");
  await runTestCommand(["sh", "-e", "-c", 'cd "$1" && find . | cpio --quiet -o -H newc > "$2"', "sh", tree, image]);
  return image;
}

/** @param bootFile a URL on 127.0.0.1, as a DHCP server tells it. */
export async function startNetbootMachine(directory: string, mac: string, bootFile: string): Promise<Vm> {
  const disk = join(directory, "disk.img");
  await writeFile(disk, Buffer.concat([bootSector(diskSays), Buffer.alloc(1 << 20)]));
  return await startVm({
    firmware: "bios",
    disks: [],
    allowReboot: true,
    extraArguments: [
      ...["-machine", "graphics=off"], // the BIOS, and with it iPXE, speaks on the serial port
      ...["-netdev", `user,id=net0,bootfile=${bootFile.replace("127.0.0.1", hostSeenFromGuest)}`],
      ...["-device", `e1000,netdev=net0,mac=${mac},bootindex=0`],
      ...["-drive", `if=none,id=disk,format=raw,file=${disk}`, "-device", "virtio-blk-pci,drive=disk,bootindex=1"],
    ],
  });
}
