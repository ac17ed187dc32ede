/** The new OS's boot entry is made after what its EFI system partition holds, and the disk stays as it is. Needs root. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { forgetPartitions } from "../../src/disk/kernel-partitions.ts";
import { readBootEntries, readBootOrder } from "../../src/firmware/boot-entries.ts";
import { parseDevicePath } from "../../src/firmware/device-path.ts";
import { efiVariables } from "../../src/firmware/efi-variables.ts";
import type { Event } from "../../src/report/events.ts";
import { createReporter } from "../../src/report/reporter.ts";
import { makeBootEntry } from "../../src/stages/boot-entry.ts";
import { lookingContext } from "../../src/stages/context.ts";
import { nobody } from "../../src/stages/overseer.ts";
import { makeFileSystem, mountDevice, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { put } from "../support/make-disk.ts";
import { createOldDisk, readRaw } from "../support/old-disk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MiB = 1 << 20;
const diskMiB = 40;
/** Two EFI system partitions, and a root between them. */
const script = `label: gpt
1: start=2048, size=16384, type=uefi
2: start=20480, size=2048, type=linux
3: start=24576, size=16384, type=uefi
`;

/** @param loaders on each of the two; null: it holds no file system. */
async function makeEntry(...loaders: readonly (readonly string[] | null)[]) {
  await using disk = await createOldDisk(diskMiB, script);
  await using temporary = await temporaryDirectory();
  for (const [index, files] of loaders.entries()) {
    if (files === null) continue;
    const device = disk.partition(index === 0 ? 1 : 3);
    await makeFileSystem(device, "ext4"); // not every kernel that runs this test has FAT
    await using mounted = await mountDevice(device);
    for (const file of files) put(mounted.dir, file, "");
  }
  await runTestCommand(["sync", disk.path]);
  await forgetPartitions(disk.path); // as after a power cut, with the commit alone left to do
  const all = { offsetBytes: 0, sizeBytes: diskMiB * MiB };
  const before = await readRaw(disk.path, all);

  const efivars = join(temporary.dir, "efivars");
  mkdirSync(efivars);
  const bootVariables = efiVariables(efivars);
  await bootVariables.write("BootOrder", Buffer.from([0xaa, 0]));
  const warnings: string[] = [];
  const receive = (event: Event): void => void (event.type === "warning" && warnings.push(event.message));
  const reporter = createReporter([{ name: "test", receive }], 0);
  const looking = lookingContext({ workDir: temporary.dir, overseer: nobody, reporter, isLiving: false });
  await makeBootEntry(await disk.read(), disk.table, { ...looking, bootVariables });

  expect((await readRaw(disk.path, all)).equals(before)).toBe(true);
  const mounts = await runTestCommand(["cat", "/proc/mounts"]);
  expect(mounts).not.toContain(disk.path);
  const entries = (await readBootEntries(bootVariables)).map(({ devicePath }) => parseDevicePath(devicePath));
  const order = await readBootOrder(bootVariables);
  return { entries, order, warnings: warnings.join("\n"), partitions: disk.table.partitions };
}

test("the loader that firmware would start by itself, on the first partition that has one", async () => {
  const { entries, order, warnings, partitions } = await makeEntry([], ["EFI/BOOT/BOOTX64.EFI"]);
  const uuid = partitions.find(({ number }) => number === 3)?.uuid ?? "";
  const partition = { number: 3, startLba: 24576, sectors: 16384, uuid };
  expect(entries).toEqual([{ partition, file: "\\EFI\\BOOT\\BOOTX64.EFI" }]);
  expect(order).toEqual([0, 0xaa]);
  expect(warnings).toBe("");
});

test("an installer's loader, where there is no other", async () => {
  const { entries, warnings } = await makeEntry(["EFI/debian/grubx64.efi", "EFI/debian/shimx64.efi"], []);
  expect(entries).toMatchObject([{ partition: { number: 1 }, file: "\\EFI\\debian\\shimx64.efi" }]);
  expect(warnings).toBe("");
});

test("no loader: no entry, and a warning", async () => {
  const { entries, order, warnings } = await makeEntry(["vmlinuz"], []);
  expect(entries).toEqual([]);
  expect(order).toEqual([0xaa]);
  expect(warnings).toContain("the EFI system partition of the new OS (1, 3) has no /EFI/BOOT/BOOTX64.EFI");
});

test("a partition that cannot be looked into: what firmware starts by itself is assumed", async () => {
  const { entries, order, warnings } = await makeEntry(null, null);
  expect(entries).toMatchObject([{ partition: { number: 1 }, file: "\\EFI\\BOOT\\BOOTX64.EFI" }]);
  expect(order).toEqual([0, 0xaa]);
  expect(warnings).toContain("the new boot loader cannot be seen, /EFI/BOOT/BOOTX64.EFI is assumed");
});
