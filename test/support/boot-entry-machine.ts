/** A machine with UEFI that boots its old OS by a boot entry, and a new image for it. Needs no root. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeSmallDisk, putFile, quickKernelArguments } from "../../scripts/power/small-os/disks.ts";
import { smallInitramfs } from "../../scripts/power/small-os/initramfs.ts";
import { type SmallKernel, smallKernel } from "../../scripts/power/small-os/kernel.ts";
import { fillProduct } from "../../scripts/power/small-os/product.ts";
import { bootEntryName } from "../../src/firmware/boot-entries.ts";
import { formatDevicePath, type PartitionNode } from "../../src/firmware/device-path.ts";
import { vendors } from "../../src/firmware/efi-variables.ts";
import { formatLoadOption } from "../../src/firmware/load-option.ts";
import { formatLoaderText } from "../../src/one-shot/loader-variables.ts";
import { runTestCommand } from "./loop-device.ts";

const MiB = 1 << 20;
const machine = { firmware: "uefi", sectorSizeBytes: 512 } as const;

/** The EFI system partitions of the old disk and of the image: not the same one. */
const espOf = (uuid: string): PartitionNode => ({ number: 1, startLba: 2048, sectors: (24 * MiB) / 512, uuid });
export const oldEsp = espOf("01d01d01-1111-4111-8111-010101010101");
export const newEsp = espOf("0e00e00e-2222-4222-8222-020202020202");

/** Far from the numbers that firmware gives to what it finds. */
export const oldEntryId = 0xaa;
export const oldEntry = formatLoadOption({
  active: true,
  description: "the old OS",
  devicePath: formatDevicePath(oldEsp, "/EFI/old/loader.efi"),
  optionalData: Buffer.alloc(0),
});

/** A line for each variable of the firmware: what the new system does where the old one is armed. */
const sayVariables = `#!/bin/sh
insmod /efivarfs.ko
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars
for variable in Boot*; do echo "VARIABLE $variable $(base64 -w 0 <"$variable")"; done
exit 1
`;

/** Makes the old system's disk, with reimage and the packed image of the new one in it. @returns its path. */
export async function makeOldDisk(folder: string): Promise<string> {
  const [kernel, program] = [await smallKernel(), resolve("build/reimage")];
  const [image, packed, old] = [join(folder, "new.img"), join(folder, "packed"), join(folder, "old.img")];
  await makeSmallDisk(image, kernel, {
    ...{ ...machine, system: "new", diskMiB: 34, rootMiB: 8 },
    async fillRoot(tree) {
      putFile(tree, "efivarfs.ko", efivarfsOf(kernel));
      writeFileSync(join(tree, "arm"), sayVariables);
      chmodSync(join(tree, "arm"), 0o755);
    },
  });
  await runTestCommand(["sfdisk", "--quiet", "--part-uuid", image, "1", newEsp.uuid]);
  mkdirSync(packed);
  const packedImage = join(packed, "new.img.zst");
  const [secretKey, publicKey] = [join(folder, "image.key"), join(folder, "image.pub")];
  await runTestCommand([program, "pack", "--keygen", "--secret-key", secretKey, "--public-key", publicKey]);
  const signing = ["--secret-key", secretKey, "--image-version", "1"];
  await runTestCommand([program, "pack", image, "--level", "6", ...signing, "--output", packedImage]);
  const initramfs = await smallInitramfs(kernel, program);
  const append = `${quickKernelArguments} BUN_JSC_useDFGJIT=0`;
  await makeSmallDisk(old, kernel, {
    ...{ ...machine, system: "old", diskMiB: 512, rootMiB: 300 },
    fillRoot: (tree) =>
      fillProduct(tree, { kernel, program, initramfs, publicKey, image: packedImage, place: "gap", append }),
  });
  await runTestCommand(["sfdisk", "--quiet", "--part-uuid", old, "1", oldEsp.uuid]);
  // Nothing is left where firmware would find it by itself.
  await runTestCommand(["mmd", "-i", `${old}@@1M`, "::/EFI/old"]);
  await runTestCommand(["mmove", "-i", `${old}@@1M`, "::/EFI/BOOT/BOOTX64.EFI", "::/EFI/old/loader.efi"]);
  return old;
}

/** Kernel and initrd that make the old system's entry the only one in the boot order, and power the machine off. */
export async function makeEntryWriter(folder: string): Promise<{ readonly kernel: string; readonly initrd: string }> {
  const kernel = await smallKernel();
  const tree = join(folder, "entry-writer");
  for (const name of ["bin", "proc", "sys", "variables"]) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
  copyFileSync(efivarfsOf(kernel), join(tree, "efivarfs.ko"));
  const put = (name: string, vendor: string, data: Buffer): void =>
    writeFileSync(join(tree, "variables", `${name}-${vendor}`), Buffer.concat([Buffer.from([7, 0, 0, 0]), data]));
  put(bootEntryName(oldEntryId), vendors.global, oldEntry);
  put("BootOrder", vendors.global, Buffer.from([oldEntryId, 0]));
  // What bootctl set-default leaves behind, and what is in no boot volume of reimage's.
  put("LoaderEntryDefault", vendors.loader, formatLoaderText("debian-6.1.0.conf"));
  put("LoaderEntryOneShot", vendors.loader, formatLoaderText("debian-6.1.1.conf"));
  const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
insmod /efivarfs.ko
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cd /variables
for variable in *; do cat "$variable" >"/sys/firmware/efi/efivars/$variable" || echo "NOT WRITTEN $variable"; done
echo "ALL WRITTEN"
poweroff -f
`;
  writeFileSync(join(tree, "init"), init);
  for (const name of ["init", "bin/busybox"]) chmodSync(join(tree, name), 0o755);
  const initrd = join(folder, "entry-writer.img");
  await runTestCommand(["sh", "-c", `find . | cpio --quiet -o -H newc -R 0:0 >'${initrd}'`], { cwd: tree });
  return { kernel: kernel.image, initrd };
}

/** The variables that a machine has printed, without their attributes. */
export function saidVariables(serial: string): ReadonlyMap<string, Buffer> {
  const lines = serial.matchAll(/VARIABLE (\w+)-\S+ (\S*)/g);
  return new Map([...lines].map(([, name = "", value = ""]) => [name, Buffer.from(value, "base64").subarray(4)]));
}

function efivarfsOf(kernel: SmallKernel): string {
  return join(kernel.modules, "kernel/fs/efivarfs/efivarfs.ko");
}
