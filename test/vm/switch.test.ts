/** One sector makes real firmware boot the lifeboat, and one makes it boot the old system again. Needs root. */
import { expect } from "bun:test";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { appendConfig } from "../../scripts/kiosk/append-config.ts";
import { readFirmware } from "../../src/firmware/firmware.ts";
import { currentBoot } from "../../src/lifeboat/switch/current-boot.ts";
import { lifeboatBackupTable, mbrFormSector, planSwitch, type Write } from "../../src/lifeboat/switch/plan.ts";
import type { SwitchPlan } from "../../src/lifeboat/switch/switch-plan.ts";
import { makeBootableVolume, makeNamingInitrd, syslinuxBootCode } from "../support/bootable-volume.ts";
import { attachLoopDevice, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { copyFreshVariables, startVm } from "../support/qemu.ts";

const MiB = 1 << 20;
const bootTimeoutMs = 180_000;
const lifeboatBytes = 100 * MiB;
const entriesBytes = lifeboatBytes + 64 * 1024;
const bootVolume = { offsetBytes: lifeboatBytes + 2 * MiB, sizeBytes: 40 * MiB };
const diskSizeBytes = 160 * MiB;

interface Machine extends AsyncDisposable {
  readonly folder: string;
  readonly plan: SwitchPlan;
  readonly espUuid: string | null;
  /** Of the firmware. Kept. */
  readonly variables: string;
  read(offsetBytes: number, sizeBytes: number): Promise<Buffer>;
  write(write: Write): Promise<void>;
  switchTo(what: "old" | "lifeboat"): Promise<void>;
  now(): Promise<ReturnType<typeof currentBoot>>;
  /** Boots the disk; returns the name that the system says, and all it said. */
  boot(): Promise<{ readonly name: string; readonly serial: string }>;
}

async function openMachine(
  firmware: "bios" | "uefi",
  table: "mbr" | "gpt",
  sectorSizeBytes: 512 | 4096,
  loaderPath?: string,
): Promise<Machine> {
  const directory = await temporaryDirectory();
  const folder = directory.dir;
  const disk = join(folder, "disk.img");
  const handle = await open(disk, "wx+");
  await handle.truncate(diskSizeBytes);
  const write = async ({ data, offsetBytes }: Write): Promise<void> => {
    await handle.write(data, 0, data.length, offsetBytes);
  };
  const read = async (offsetBytes: number, sizeBytes: number): Promise<Buffer> =>
    (await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, offsetBytes)).buffer;

  const sectors = (bytes: number): number => bytes / sectorSizeBytes;
  const type = table === "gpt" ? "uefi" : firmware === "uefi" ? "ef" : "0c, bootable";
  const lines = [
    `label: ${table === "gpt" ? "gpt" : "dos"}`,
    `2: start=${sectors(MiB)}, size=${sectors(40 * MiB)}, type=${type}`,
    `3: start=${sectors(50 * MiB)}, size=${sectors(10 * MiB)}, type=${table === "gpt" ? "linux" : "83"}`,
  ];
  // A device, because only newer ones of sfdisk can be told the sector size of a file.
  const loop = await attachLoopDevice(disk, { sectorSizeBytes });
  let espUuid: string | null = null;
  try {
    const quiet = ["--quiet", "--no-tell-kernel", "--no-reread"];
    await runTestCommand(["sfdisk", ...quiet, loop], { stdin: Buffer.from(`${lines.join("\n")}\n`) });
    if (table === "gpt") espUuid = (await runTestCommand(["sfdisk", "--part-uuid", loop, "2"])).trim();
  } finally {
    await runTestCommand(["losetup", "--detach", loop]);
  }
  const initrd = await makeNamingInitrd(folder);
  const volumes = [
    { name: "old", startBytes: MiB },
    { name: "lifeboat", startBytes: bootVolume.offsetBytes },
  ];
  for (const { name, startBytes } of volumes) {
    const volume = join(folder, name);
    const path = loaderPath === undefined ? {} : { loaderPath };
    makeBootableVolume(volume, { firmware, sectorSizeBytes, sizeMiB: 40, startBytes, name, initrd, ...path });
    await write({ offsetBytes: startBytes, data: readFileSync(volume) });
  }
  const bootCode = readFileSync(syslinuxBootCode).subarray(0, 440);
  if (firmware === "bios") await write({ offsetBytes: 0, data: bootCode });

  const plan = planSwitch({
    oldHead: await read(0, MiB),
    ...{ firmware, sectorSizeBytes, diskSizeBytes, bootVolume, fatTypeByte: 0x0c, espUuid, bootCode },
    entriesOffsetBytes: entriesBytes,
    uuid: randomUUID(),
  });
  if (plan.entries !== null) await write({ offsetBytes: entriesBytes, data: plan.entries });
  const variables = join(folder, "variables.fd");
  await copyFreshVariables(variables);
  return {
    ...{ folder, plan, espUuid, variables, read, write },
    switchTo: (what) =>
      write({ offsetBytes: plan.sectorOffsetBytes, data: what === "old" ? plan.oldSector : plan.lifeboatSector }),
    now: async () => currentBoot(await read(0, 2 * sectorSizeBytes), plan),
    async boot() {
      await using vm = await startVm({
        firmware,
        disks: [], // a disk of this list has a place in QEMU's boot order, by which OVMF changes its own
        ...{ variables, memoryMiB: 512 },
        extraArguments: ["-vga", "none", ...diskArguments(disk, sectorSizeBytes)],
      });
      const [, name = ""] = await vm.waitForSerial(/BOOTED (\w+)\./, bootTimeoutMs);
      await vm.waitForExit(bootTimeoutMs);
      return { name, serial: vm.serialText() };
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function diskArguments(file: string, sectorSizeBytes: number): string[] {
  const size = `logical_block_size=${sectorSizeBytes},physical_block_size=${sectorSizeBytes}`;
  return [
    ...["-blockdev", `driver=raw,node-name=disk,file.driver=file,file.filename=${file}`],
    ...["-device", `virtio-blk-pci,drive=disk,${size}`],
  ];
}

async function expectBoot(machine: Machine, what: "old" | "lifeboat"): Promise<string> {
  expect(await machine.now()).toBe(what);
  const { name, serial } = await machine.boot();
  expect(name).toBe(what);
  expect(await machine.now()).toBe(what);
  return serial;
}

machineTest("BIOS: there and back", async () => {
  await using machine = await openMachine("bios", "mbr", 512);
  await machine.switchTo("lifeboat");
  await expectBoot(machine, "lifeboat");
  await machine.switchTo("old");
  await expectBoot(machine, "old");
});

machineTest("UEFI, MBR: there and back", async () => {
  await using machine = await openMachine("uefi", "mbr", 512);
  await machine.switchTo("lifeboat");
  await expectBoot(machine, "lifeboat");
  await machine.switchTo("old");
  await expectBoot(machine, "old");
});

machineTest("UEFI, GPT, sectors of 4096 bytes: there and back, and what comes after", async () => {
  await using machine = await openMachine("uefi", "gpt", 4096);
  const { plan } = machine;
  await machine.switchTo("lifeboat");
  await expectBoot(machine, "lifeboat");
  await machine.switchTo("old");
  await expectBoot(machine, "old");

  // Writing has begun: the primary is damaged, and firmware repairs it from the backup, which is the lifeboat's.
  const backup = lifeboatBackupTable(plan);
  if (backup === null) throw new Error("no backup table");
  await machine.write(backup);
  await machine.write({ offsetBytes: 4096, data: Buffer.alloc(4096) });
  expect((await machine.boot()).name).toBe("lifeboat");
  expect(await machine.now()).toBe("lifeboat");

  // The new image has an MBR.
  await machine.write({ offsetBytes: 0, data: mbrFormSector({ volume: bootVolume, sectorSizeBytes: 4096 }) });
  await machine.write({ offsetBytes: 4096, data: Buffer.alloc(MiB - 4096) });
  await expectBoot(machine, "lifeboat");
});

machineTest("UEFI, GPT: a boot entry that names the old ESP leads to the lifeboat, and back", async () => {
  // Neither volume has a loader where firmware would find it by itself.
  await using machine = await openMachine("uefi", "gpt", 512, "EFI/old/loader.efi");
  const { plan, espUuid } = machine;
  await enterBootEntry(machine);
  await machine.switchTo("lifeboat");
  const before = await machine.read(0, diskSizeBytes);
  await expectBoot(machine, "lifeboat");
  expect((await machine.read(0, diskSizeBytes)).equals(before)).toBe(true); // firmware had nothing to repair

  // A damaged primary while the old system is whole: firmware takes the old backup, and repairs the switch by itself.
  await machine.write({ offsetBytes: 512, data: Buffer.alloc(512) });
  const { name, serial } = await machine.boot();
  expect(name).toBe("old");
  expect((await machine.read(512, 512)).equals(plan.oldSector)).toBe(true);

  const said = await readFirmware(await collectVariables(machine.folder, serial));
  expect(said).toEqual({
    kind: "uefi",
    secureBoot: false,
    bitness: 64,
    bootedFrom: { partitionUuid: espUuid?.toLowerCase() ?? "", path: "\\EFI\\old\\loader.efi" },
  });
});

/** Makes the boot entry of the old system the only one, with reimage's own functions, in reimage's own initramfs. */
async function enterBootEntry({ folder, variables, espUuid }: Machine): Promise<void> {
  const program = await Bun.build({ entrypoints: [join(import.meta.dir, "../support/efi-guest.ts")], target: "bun" });
  const init = `#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/usr/bin/modprobe -aq efivarfs
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
BUN_BE_BUN=1 reimage run /guest.js ${espUuid}
busybox poweroff -f
`;
  const files = { "guest.js": (await program.outputs[0]?.text()) ?? "", "test-init": { executable: init } };
  const initrd = await appendConfig("build/initramfs.img", {}, join(folder, "guest.img"), files);
  await using vm = await startVm({
    ...{ firmware: "uefi", variables, disks: [], kernel: resolve("build/vmlinuz"), initrd },
    append: "console=ttyS0 quiet rdinit=/test-init",
  });
  const [, said = ""] = await vm.waitForSerial(/SAID (\{.*\})\r?\n/, bootTimeoutMs);
  expect(JSON.parse(said)).toEqual({
    firmware: { kind: "uefi", secureBoot: false, bitness: 64, bootedFrom: null },
    ...{ isReused: true, next: true, isRemoved: true, isFirst: true, isReplaced: true, isGone: true },
  });
  await vm.waitForExit(bootTimeoutMs);
}

/** Makes a /sys/firmware of the variables that a machine has printed. */
async function collectVariables(folder: string, serial: string): Promise<string> {
  const directory = join(folder, "firmware");
  await mkdir(join(directory, "efi/efivars"), { recursive: true });
  for (const [, name = "", value = ""] of serial.matchAll(/VARIABLE (\S+) (\S*)/g)) {
    const file = join(directory, "efi/efivars", name);
    writeFileSync(file, Buffer.from(value, "base64"));
  }
  return directory;
}
