/**
 * The whole thing, on virtual machines: real Debians in the kiosk's layouts, reimaged offline by reimage's own kernel and
 * initramfs. Six runs cover every pair of {MBR and BIOS, GPT and UEFI}, {one disk, three disks}, {SATA, NVMe, virtio}.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Table } from "../../scripts/kiosk/layouts.ts";
import {
  bootTimeoutMs,
  checkFileSystems,
  type KioskVm,
  mountPartition,
  openKioskVm,
  partitionOf,
  reimageTimeoutMs,
} from "../support/kiosk-vm.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { describeRetained, retainedInKioskPartition, retainedInRoot } from "../support/retained-files.ts";
import type { DiskBus, VmDisk } from "../support/vm-disk.ts";

interface Machine {
  readonly table: Table;
  readonly bus: DiskBus;
  readonly diskCount: 1 | 3;
  readonly memoryMiB: number;
  readonly cpu: string;
}

// Nehalem has neither AVX nor AVX2, as the oldest kiosks.
const machines: readonly Machine[] = [
  { table: "mbr", bus: "sata", diskCount: 1, memoryMiB: 1024, cpu: "Nehalem" },
  { table: "mbr", bus: "nvme", diskCount: 3, memoryMiB: 1024, cpu: "max" },
  { table: "mbr", bus: "virtio", diskCount: 3, memoryMiB: 1024, cpu: "max" },
  { table: "gpt", bus: "sata", diskCount: 3, memoryMiB: 1024, cpu: "max" },
  { table: "gpt", bus: "nvme", diskCount: 1, memoryMiB: 1024, cpu: "max" },
  { table: "gpt", bus: "virtio", diskCount: 1, memoryMiB: 1024, cpu: "max" },
];

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? "" : " (skipped: mounting the disks needs root)";

for (const machine of machines) {
  const { table, bus, diskCount, memoryMiB, cpu } = machine;
  const firmware = table === "mbr" ? "BIOS" : "UEFI";
  describe(`${table.toUpperCase()} and ${firmware}, ${diskCount} disk${diskCount > 1 ? "s" : ""}, ${bus}`, () => {
    let vm: KioskVm;
    let others: readonly VmDisk[] = [];
    let othersBefore: readonly string[] = [];
    let exported = "";
    let reimaged = false;

    beforeAll(async () => {
      vm = await openKioskVm("debian", table, bus);
      others = diskCount === 3 ? await makeOtherDisks(vm.folder, bus) : [];
      othersBefore = await Promise.all(others.map(({ file }) => sha256(file)));
    }, bootTimeoutMs);
    afterAll(async () => await vm[Symbol.asyncDispose]());

    test(
      "reimages offline, and says so",
      async () => {
        const [first, ...rest] = others;
        // The target is neither the first disk nor the last one.
        const disks = first === undefined ? [vm.disk] : [first, vm.disk, ...rest];
        await using machine = await vm.startReimage({ memoryMiB, cpu, disks });
        const [ending] = await machine.waitForSerial(/reimage: (success|failed).*\n/, reimageTimeoutMs);
        expect(ending).toStartWith("reimage: success");
        await machine.waitForExit(bootTimeoutMs); // onSuccess: reboot
        reimaged = true;
        exported = vm.exportDisk();
      },
      reimageTimeoutMs + bootTimeoutMs,
    );

    if (diskCount === 3) {
      test("leaves the other disks as they were, byte for byte", async () => {
        expect(reimaged).toBe(true);
        expect(await Promise.all(others.map(({ file }) => sha256(file)))).toEqual([...othersBefore]);
      });
    }

    test("leaves sound file systems and the image's own boot code", async () => {
      expect(reimaged).toBe(true);
      await checkFileSystems(exported, vm.kiosk.layout.new.partitions);
      const bootCode = 440;
      const [is, shouldBe] = [exported, vm.kiosk.newImage].map((file) => firstBytes(file, bootCode));
      expect(is).toEqual(shouldBe as Buffer);
    });

    test.skipIf(!isRoot)(`brings every retained file back exactly${needsRoot}`, async () => {
      expect(reimaged).toBe(true);
      const { layout, oldDisk } = vm.kiosk;
      await using oldRoot = await mountPartition(oldDisk, partitionOf(layout.old.partitions, "root"));
      await using newRoot = await mountPartition(exported, partitionOf(layout.new.partitions, "root"));
      const paths = retainedInRoot(oldRoot.dir);
      expect(paths.length).toBeGreaterThan(35);
      const before = await describeRetained(oldRoot.dir, oldRoot.dir, newRoot.dir, paths);
      const after = await describeRetained(newRoot.dir, newRoot.dir, oldRoot.dir, paths);
      expect(after).toEqual(before);

      const inode = (name: string): number => lstatSync(join(newRoot.dir, "var/lib/kiosk/odd", name)).ino;
      expect(inode("hard-1")).toBe(inode("site-a/hard-2"));
      expect(read(newRoot.dir, "etc/kiosk/legacy.conf")).toBe("legacy=1\n"); // @move
      expect(() => read(newRoot.dir, "var/lib/kiosk/cache/thumbnails")).toThrow("ENOENT"); // @exclude
      expect(read(newRoot.dir, "var/lib/kiosk/factory-note")).toBe("made in the factory\n"); // merged
      expect(read(newRoot.dir, "etc/kiosk/defaults.conf")).toBe("defaults of the new image\n");
      expect(read(newRoot.dir, "etc/os-release")).toContain("kiosk image 2026.11");
      expect(JSON.parse(read(newRoot.dir, "etc/reimage/boot-info.json"))).toHaveProperty("image_id");

      await using oldKiosk = await mountPartition(oldDisk, partitionOf(layout.old.partitions, "kiosk"));
      await using newKiosk = await mountPartition(exported, partitionOf(layout.new.partitions, "kiosk"));
      const state = retainedInKioskPartition(oldKiosk.dir);
      expect(await describeRetained(newKiosk.dir, newRoot.dir, oldRoot.dir, state)).toEqual(
        await describeRetained(oldKiosk.dir, oldRoot.dir, newRoot.dir, state),
      );
      const report = JSON.parse(read(newKiosk.dir, "log/report.json"));
      expect(report).toMatchObject({ outcome: "success", target: "complete", retained: { missing: [], failures: [] } });
      expect(read(newKiosk.dir, "log/reimage.log")).toContain("reading it back");
    });

    test(
      "boots the new Debian to its login prompt, as the machine that it was",
      async () => {
        expect(reimaged).toBe(true);
        await using machine = await vm.startFromDisk();
        const [identity] = await machine.waitForSerial(/kiosk: kiosk image .*machine id \w+/, bootTimeoutMs);
        expect(identity).toBe(
          "kiosk: kiosk image 2026.11, host name kiosk-0042, machine id 5f3c0e1d2b4a49788899aabbccddee42",
        );
        await machine.waitForSerial(/\(ED25519\)/, bootTimeoutMs);
        await machine.waitForSerial(/kiosk-0042 login:/, bootTimeoutMs);
        expect(machine.serialText()).toContain("root@kiosk-0042 (ED25519)");
      },
      bootTimeoutMs,
    );
  });
}

function read(root: string, path: string): string {
  return readFileSync(join(root, path), "utf8");
}

function firstBytes(file: string, count: number): Buffer {
  return Buffer.from(Bun.spawnSync(["head", "-c", String(count), file]).stdout);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest("hex");
}

/** A disk of noise on the same bus, and a USB stick with a file system. */
async function makeOtherDisks(folder: string, bus: DiskBus): Promise<VmDisk[]> {
  const noise = join(folder, "noise.img");
  writeFileSync(noise, crypto.getRandomValues(new Uint8Array(65536)));
  await runTestCommand(["truncate", "-s", "32M", noise]);
  const stick = join(folder, "stick.img");
  await runTestCommand(["truncate", "-s", "16M", stick]);
  await runTestCommand(["mke2fs", "-q", "-t", "ext4", "-L", "holiday", stick]);
  return [
    { file: noise, format: "raw", bus, serial: "NOISE" },
    { file: stick, format: "raw", bus: "usb", serial: "STICK" },
  ];
}
