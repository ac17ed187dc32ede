/**
 * A lifeboat whose program does not stay up, or whose initramfs the kernel cannot unpack, gives the machine back: armed on a
 * loop device, booted by a BIOS, and then every byte of the disk is looked at.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appendConfig } from "../../scripts/kiosk/append-config.ts";
import { type LifeboatHeader, lifeboatRegions } from "../../src/lifeboat/header.ts";
import { bootLayout } from "../../src/lifeboat/layout.ts";
import { encodeRecord, firstRecord } from "../../src/lifeboat/record.ts";
import { type ArmImage, differences, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm } from "../support/qemu.ts";

const bootTimeoutMs = 400_000;
const sectorBytes = 512;
let image: ArmImage;
/** One after the other: each arms a loop device with file systems of the same names. */
let turn: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  image = await makeArmImage();
}, 60_000);
afterAll(async () => {
  await image[Symbol.asyncDispose]();
});

interface ArmedCopy {
  /** The disk before and after it was armed. */
  readonly before: Buffer;
  readonly armed: Buffer;
  readonly header: LifeboatHeader;
}

async function armedDisk(initramfs: string): Promise<ArmedCopy> {
  const armIt = async (): Promise<ArmedCopy> => {
    await using disk = await openArmable(image, { place: "file", rootMiB: 320 });
    const before = await disk.readAll();
    const result = await disk.arm(
      "--place",
      "file",
      "--initramfs",
      initramfs,
      "--append",
      "console=ttyS0 no_timer_check",
    );
    expect(result).toMatchObject({ exitCode: 0 });
    return { before, armed: await disk.readAll(), header: await disk.header() };
  };
  const armed = turn.then(armIt);
  turn = armed.catch(() => {});
  return await armed;
}

/** Boots a disk with that content until a line comes, and the machine ends if it is to. @returns the disk afterwards */
async function boot(content: Buffer, until: RegExp, ends: boolean): Promise<Buffer> {
  await using folder = await temporaryDirectory();
  const file = join(folder.dir, "disk.img");
  writeFileSync(file, content);
  await runTestCommand(["fallocate", "--dig-holes", file]);
  await using vm = await startVm({ firmware: "bios", memoryMiB: 512, disks: [{ file, format: "raw", bus: "virtio" }] });
  await vm.waitForSerial(until, bootTimeoutMs);
  if (ends) await vm.waitForExit(bootTimeoutMs);
  await vm.kill();
  return readFileSync(file);
}

/** The old sector is back, and nothing but it and the lifeboat differs from the armed disk. */
function expectGivenBack(after: Buffer, { before, armed, header }: ArmedCopy): void {
  expect(armed.subarray(0, sectorBytes).equals(before.subarray(0, sectorBytes))).toBe(false);
  expect(after.subarray(0, sectorBytes).equals(before.subarray(0, sectorBytes))).toBe(true);
  const allowed = [...lifeboatRegions(header), { offsetBytes: 0, sizeBytes: sectorBytes }];
  expect(differences(armed, after, allowed)).toEqual([]);
}

machineTest("a program that ends at once: the old boot sector comes back", async () => {
  await using folder = await temporaryDirectory();
  const program = { "usr/bin/reimage": { executable: "#!/bin/sh\nexit 1\n" } };
  const initramfs = await appendConfig("build/initramfs.img", {}, join(folder.dir, "initramfs.img"), program);
  const disk = await armedDisk(initramfs);
  const after = await boot(disk.armed, /the program did not stay up; the old boot sector is back/, true);
  expectGivenBack(after, disk);
});

machineTest(
  "an initramfs that was damaged after arming: the old boot sector comes back, but not once the disk is written",
  async () => {
    const disk = await armedDisk("build/initramfs.img");
    const { volume, boot: extent, uuid } = disk.header;
    const middle = volume.offsetBytes + Math.floor(volume.sizeBytes / 2);
    disk.armed.fill(0xff, middle, middle + (1 << 20));
    const after = await boot(disk.armed, /the initramfs is not whole[^\n]*; the old boot sector is back/, true);
    expectGivenBack(after, disk);

    const writing = encodeRecord({ ...firstRecord(uuid), seq: 2, state: "writing" });
    writing.copy(disk.armed, extent.offsetBytes + bootLayout.records[1]);
    const left = await boot(disk.armed, /the initramfs is not whole[^\n]*; the disk is partly written/, false);
    expect(left.equals(disk.armed)).toBe(true);
  },
);

machineTest("a cut initramfs, or another kernel's, is not armed", async () => {
  await using folder = await temporaryDirectory();
  const cut = join(folder.dir, "cut.img");
  const whole = readFileSync("build/initramfs.img");
  writeFileSync(cut, whole.subarray(0, whole.length >> 1));
  const kernel = readFileSync("build/vmlinuz");
  const other = join(folder.dir, "vmlinuz");
  kernel.write("5", kernel.readUInt16LE(0x20e) + 0x200, "latin1");
  writeFileSync(other, kernel);
  await turn;
  await using disk = await openArmable(image, { place: "file", rootMiB: 320 });
  const before = await disk.readAll();
  const cases = [
    ["--initramfs", cut, "cut.img is not whole"],
    ["--kernel", other, "holds the drivers of kernel"],
  ] as const;
  for (const [option, file, words] of cases) {
    const result = await disk.arm("--initramfs", "build/initramfs.img", option, file);
    expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(words) });
  }
  expect(differences(before, await disk.readAll(), [])).toEqual([]);
});
