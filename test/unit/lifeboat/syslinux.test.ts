/** Our installing of SYSLINUX beside its own installer's. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { readLoader } from "../../../src/lifeboat/boot-volume/loaders.ts";
import { fitSyslinux } from "../../../src/lifeboat/boot-volume/syslinux.ts";
import { runTestCommand, temporaryDirectory } from "../../support/loop-device.ts";

const parts = async () => ({
  bootSector: await readLoader("syslinux-boot-sector.bin"),
  ldlinux: await readLoader("ldlinux.sys"),
});

/** Of the boot code: where it differs is told by the parameters of the file system before it. */
const code = (bootSector: Buffer) => bootSector.subarray(90, 512);

test.each([
  ["FAT16", ["-F", "16", "-s", "1"], 8],
  ["FAT16 with large clusters", ["-F", "16", "-s", "4"], 20],
  ["FAT32", ["-F", "32", "-s", "1"], 40],
])("is byte for byte what the installer leaves on %s", async (_name, format, sizeMiB) => {
  await using directory = await temporaryDirectory();
  const image = join(directory.dir, "fat.img");
  const copy = join(directory.dir, "ldlinux.sys");
  await runTestCommand(["truncate", "-s", `${sizeMiB}M`, image]);
  await runTestCommand(["mkfs.vfat", ...format, image]);
  await runTestCommand(["syslinux", "--install", image]);
  await runTestCommand(["mcopy", "-n", "-i", image, "::/ldlinux.sys", copy]);
  const disk = await readFile(image);
  const installed = await readFile(copy);
  const firstSector = disk.indexOf(installed.subarray(0, 512)) / 512;
  const { bootSector, ldlinux } = fitSyslinux(await parts(), firstSector);
  expect(ldlinux).toEqual(installed);
  expect(code(bootSector)).toEqual(code(disk.subarray(0, 512)));
});

test("leaves what it is given as it is, and takes the sum of all words to its magic number", async () => {
  const given = await parts();
  const { bootSector, ldlinux } = fitSyslinux(given, 123_456);
  expect(given).toEqual(await parts());
  expect(ldlinux).not.toEqual(given.ldlinux);
  expect(code(bootSector)).not.toEqual(code(given.bootSector));
  const words = (ldlinux.length - 1024) / 4;
  let sum = 0;
  for (let word = 0; word < words; word += 1) sum = (sum + ldlinux.readUInt32LE(word * 4)) >>> 0;
  expect(sum).toBe(0x3eb202fe);
});

test("refuses what is not SYSLINUX 6", async () => {
  const { bootSector, ldlinux } = await parts();
  for (const other of [Buffer.alloc(59_392), Buffer.alloc(0), ldlinux.subarray(0, 1000)]) {
    expect(() => fitSyslinux({ bootSector, ldlinux: other }, 100)).toThrow(ReimageError);
  }
});
