/** One boot of reimage, and then the old OS again by itself, with every boot loader: in machines with its real code. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readGrubVariable } from "../../src/one-shot/grub-environment.ts";
import { clearOneShot, type OneShotRequest, setOneShot } from "../../src/one-shot/one-shot.ts";
import { bootTimeoutMs } from "../support/kiosk-vm.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import {
  kernel,
  makeConfigArchive,
  makeExtlinuxDisk,
  makeGrubDisk,
  makeOneBootInitramfs,
  oldOsSays,
  oneBootSays,
  usingRoot,
} from "../support/one-shot-disks.ts";
import { makeGuestDisk } from "../support/one-shot-guest.ts";
import { startVm } from "../support/qemu.ts";

/** What boots from a disk until the machine powers off, on its serial console. */
async function bootToEnd(
  disk: string,
  options: { firmware?: "bios" | "uefi"; readOnly?: boolean; boots?: number } = {},
): Promise<string> {
  await using vm = await startVm({
    firmware: options.firmware ?? "bios",
    disks: [{ file: disk, format: "raw", bus: "virtio", readOnly: options.readOnly === true }],
    memoryMiB: 1024,
    allowReboot: true,
  });
  await vm.waitForExit(bootTimeoutMs * (options.boots ?? 2));
  return vm.serialText();
}

/** What booted, in order. */
function bootsIn(text: string): string[] {
  const pattern = new RegExp(`${oneBootSays.source}|${oldOsSays.source}|reimage: failed`, "g");
  return [...text.matchAll(pattern)].map(([match]) => match.split(" ", 2).join(" "));
}

const smallBoot = async (folder: string, then?: string): Promise<Omit<OneShotRequest, "root">> => ({
  kernelPath: kernel,
  initramfsPath: makeOneBootInitramfs(folder, then),
  configArchive: await makeConfigArchive(folder),
  commandLine: "console=ttyS0 quiet panic=2 wanted=yes",
});

machineTest("GRUB boots reimage once; it refuses, and the old OS comes back", async () => {
  await using temporary = await temporaryDirectory();
  const disk = await makeGrubDisk(temporary.dir);
  const configuration = [
    "image: { source: 'LABEL=nowhere:/os.img' }",
    "old: { root: 'LABEL=nowhere' }",
    "new: { root: 1 }",
    "waitSeconds: 1",
    "watchdog: { enabled: false }",
    "onFailure: reboot",
  ];
  const configArchive = await makeConfigArchive(temporary.dir, {
    "reimage.yaml": `${configuration.join("\n")}\n`,
    "retentionlist.txt": "/etc/hostname\n",
  });
  const initramfsPath = resolve("build/initramfs.img");
  const commandLine = "console=ttyS0 quiet";
  const undo = await usingRoot(disk, async (root) => {
    writeFileSync(join(root, "boot/grub/custom.cfg"), "# of the operator\nset colour=blue");
    return await setOneShot({ root, kernelPath: kernel, initramfsPath, configArchive, commandLine });
  });
  expect(undo.method).toBe("grub");
  const text = await bootToEnd(disk, { boots: 4 });
  expect(text).toMatch(/nowhere/); // it read its configuration
  expect(bootsIn(text)).toEqual(["reimage: failed", "BOOTED old"]);

  await usingRoot(disk, async (root) => {
    // Where it was mounted before is no more.
    const steps = undo.steps.map((step) =>
      "path" in step ? { ...step, path: join(root, step.path.slice(step.path.indexOf("/boot/"))) } : step,
    );
    await clearOneShot({ ...undo, steps });
    await clearOneShot({ ...undo, steps });
    expect(readFileSync(join(root, "boot/grub/custom.cfg"), "utf8")).toBe("# of the operator\nset colour=blue\n");
    expect(readGrubVariable(readFileSync(join(root, "boot/grub/grubenv")), "next_entry")).toBe(""); // as GRUB left it
    expect(existsSync(join(root, "boot/reimage"))).toBe(false);
  });
});

machineTest(
  "the old OS boots where GRUB cannot forget the entry, or cannot load it, or the kernel panics",
  async () => {
    await using temporary = await temporaryDirectory();
    const disk = await makeGrubDisk(temporary.dir);
    const request = await smallBoot(temporary.dir, "exit 1"); // of PID 1: a panic
    await usingRoot(disk, async (root) => await setOneShot({ ...request, root }));
    expect(bootsIn(await bootToEnd(disk, { readOnly: true }))).toEqual(["BOOTED old"]);
    expect(bootsIn(await bootToEnd(disk))).toEqual(["ONE-BOOT marker-of-the-archive", "BOOTED old"]);
    await usingRoot(disk, async (root) => {
      await setOneShot({ ...request, root });
      writeFileSync(join(root, "boot/reimage/vmlinuz"), "no kernel");
    });
    expect(bootsIn(await bootToEnd(disk))).toEqual(["BOOTED old"]);
  },
);

machineTest("extlinux boots reimage once, and then the old OS", async () => {
  await using temporary = await temporaryDirectory();
  const disk = await makeExtlinuxDisk(temporary.dir);
  const request = await smallBoot(temporary.dir);
  const undo = await usingRoot(disk, async (root) => await setOneShot({ ...request, root }));
  expect(undo.method).toBe("extlinux");
  expect(bootsIn(await bootToEnd(disk))).toEqual(["ONE-BOOT marker-of-the-archive", "BOOTED old"]);
});

machineTest("systemd-boot, the firmware and kexec boot reimage once, and then the old OS", async () => {
  await using temporary = await temporaryDirectory();
  const disk = await makeGuestDisk(temporary.dir, [
    "one-shot detect set:systemd-boot pending",
    "one-shot pending clear list set:bootnext pending",
    "one-shot pending clear list set:kexec pending clear pending set:kexec kexec",
    "true",
  ]);
  const text = (await bootToEnd(disk, { firmware: "uefi", boots: 8 })).replaceAll("\r", "");
  const boots = [...text.matchAll(/ONE-BOOT \S+ \S+|OLD-OS step \d(?= *$)|FAILED.*/gm)].map(([match]) => match);
  const once = "ONE-BOOT marker-of-the-archive wanted=yes";
  expect(boots).toEqual(["OLD-OS step 1", once, "OLD-OS step 2", once, "OLD-OS step 3", once, "OLD-OS step 4"]);
  expect(text).toContain("usable systemd-boot: systemd-boot 2");
  expect(text).toContain("usable bootnext:");
  expect(text).toContain("usable kexec:");
  expect(text).toContain("refused extlinux: ");
  for (const step of [2, 3]) {
    const said = text.split(`OLD-OS step ${step}\n`)[1]?.split("done: ")[0] ?? "";
    const left = said.split("\n").filter((line) => line.startsWith("/efi"));
    expect(left).toContain("/efi/loader/entries/old.conf");
    expect(left.filter((path) => path.includes("reimage"))).toEqual([]);
    expect(said).not.toMatch(/LoaderEntryOneShot|BootNext|Boot0003/);
  }
  expect([...text.matchAll(/\S+ pending: \S+/g)].map(([match]) => match)).toEqual([
    ...["systemd-boot pending: true", "systemd-boot pending: false"],
    ...["bootnext pending: true", "bootnext pending: false"],
    ...["kexec pending: true", "kexec pending: false"],
  ]);
});
