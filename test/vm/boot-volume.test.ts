/** Firmware boots the boot volume of the lifeboat, wherever it lies: loader, kernel, both archives and the command line arrive. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newcArchive } from "../../src/lifeboat/boot-volume/cpio.ts";
import { COMMAND_LINE_LIMIT_BYTES } from "../../src/lifeboat/boot-volume/loader-configuration.ts";
import { isSignedPe } from "../../src/lifeboat/boot-volume/pe-signature.ts";
import { type BootVolumeRequest, fatTypeByte } from "../../src/lifeboat/boot-volume/volume.ts";
import { noise, talkingInitramfs, writeBootVolumeDisk } from "../support/boot-volume-disk.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm } from "../support/qemu.ts";
import type { DiskBus } from "../support/vm-disk.ts";

const bootTimeoutMs = 300_000;
const MIB = 1 << 20;

interface Case extends Pick<BootVolumeRequest, "firmware" | "sectorSizeBytes"> {
  readonly bus: DiskBus;
  /** Decides between FAT16 and FAT32. */
  readonly fillerMiB: number;
  readonly typeByte: number;
  readonly startMiB: number;
}

const cases: readonly Case[] = [
  { firmware: "bios", bus: "sata", sectorSizeBytes: 512, fillerMiB: 24, typeByte: 0x0c, startMiB: 37 },
  { firmware: "bios", bus: "virtio", sectorSizeBytes: 512, fillerMiB: 1, typeByte: 0x0e, startMiB: 9001 },
  { firmware: "uefi", bus: "virtio", sectorSizeBytes: 512, fillerMiB: 24, typeByte: 0x0c, startMiB: 37 },
  { firmware: "uefi", bus: "virtio", sectorSizeBytes: 4096, fillerMiB: 8, typeByte: 0x0e, startMiB: 37 },
];

for (const each of cases) {
  const { firmware, bus, sectorSizeBytes, fillerMiB, typeByte, startMiB } = each;
  const fat = typeByte === 0x0c ? "FAT32" : "FAT16";
  machineTest(
    `${firmware}, ${bus}, ${sectorSizeBytes}-byte sectors, ${fat}, ${startMiB} MiB into the disk`,
    async () => {
      await using directory = await temporaryDirectory();
      const filler = noise(fillerMiB * MIB, startMiB);
      const initramfsPath = join(directory.dir, "initramfs.img");
      await writeFile(initramfsPath, await talkingInitramfs(filler));
      const start = "console=ttyS0 quiet no_timer_check panic=1 ";
      const request: BootVolumeRequest = {
        ...{ firmware, sectorSizeBytes, initramfsPath, kernelPath: "build/vmlinuz" },
        configArchive: newcArchive([{ path: "/etc/greeting", content: Buffer.from("good morning"), mode: 0o600 }]),
        commandLine: `${start}${"x".repeat(COMMAND_LINE_LIMIT_BYTES - start.length)}`,
        uuid: "6f2a7f0c-3c7f-4d57-9d0e-0c8c5b9a6f11",
        loaderPaths: [],
      };
      expect(await fatTypeByte(request)).toBe(typeByte);
      const disk = join(directory.dir, "disk.img");
      await writeBootVolumeDisk(disk, request, startMiB * MIB);
      await using vm = await startVm({
        firmware,
        disks: [{ file: disk, format: "raw", bus, ...sectors(each) }],
      });
      const [, words] = await vm.waitForSerial(/TESTINIT ([^\r\n]*)[\r\n]/, bootTimeoutMs);
      const digest = createHash("sha256").update(filler).digest("hex");
      expect(words).toBe(`good morning ${digest}  -`);
      expect(vm.serialText()).toContain(request.commandLine);
      await vm.waitForExit(bootTimeoutMs);
    },
  );
}

const sectors = ({ bus, sectorSizeBytes }: Case) => (bus === "sata" ? {} : { sectorSizeBytes });

test("Debian's kernel is signed", async () => {
  expect(isSignedPe(await readFile("build/vmlinuz"))).toBe(true);
});
