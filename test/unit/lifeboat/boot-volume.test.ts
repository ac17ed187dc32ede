/** The boot volume: what is on it, that it is whole, and that the same request gives the same bytes. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { COMMAND_LINE_LIMIT_BYTES, checkCommandLine } from "../../../src/lifeboat/boot-volume/loader-configuration.ts";
import { readLoader } from "../../../src/lifeboat/boot-volume/loaders.ts";
import { fitSyslinux } from "../../../src/lifeboat/boot-volume/syslinux.ts";
import {
  type BootVolumeRequest,
  bootVolume,
  bootVolumeSizeBytes,
  fatTypeByte,
  PIECE_BYTES,
} from "../../../src/lifeboat/boot-volume/volume.ts";
import { noise } from "../../support/boot-volume-disk.ts";
import { runTestCommand, temporaryDirectory } from "../../support/loop-device.ts";
import { refusalOf } from "../../support/refusal-of.ts";

const configArchive = noise(1537, 1);

async function requestIn(dir: string, initramfsBytes: number, change: Partial<BootVolumeRequest> = {}) {
  const request: BootVolumeRequest = {
    ...{ firmware: "bios", sectorSizeBytes: 512, configArchive, commandLine: "quiet reimage.x=1", loaderPaths: [] },
    ...{ kernelPath: join(dir, "kernel"), initramfsPath: join(dir, "initramfs") },
    uuid: "6f2a7f0c-3c7f-4d57-9d0e-0c8c5b9a6f11",
    ...change,
  };
  await writeFile(request.kernelPath, noise(8_247_233, 2));
  await writeFile(request.initramfsPath, noise(initramfsBytes, 3));
  return request;
}

async function volumeOf(request: BootVolumeRequest): Promise<Buffer> {
  const pieces = await Array.fromAsync(bootVolume(request));
  expect(pieces.every(({ length }) => length === PIECE_BYTES)).toBe(true);
  expect(pieces.length * PIECE_BYTES).toBe(await bootVolumeSizeBytes(request));
  return Buffer.concat(pieces);
}

/** What is in a file on the volume. */
async function contentOf(image: string, path: string): Promise<Buffer> {
  await runTestCommand(["mcopy", "-o", "-n", "-i", image, `::${path}`, `${image}.file`]);
  return await readFile(`${image}.file`);
}

describe("a boot volume", () => {
  const debian = "\\EFI\\debian\\shimx64.efi";
  const uefi = { firmware: "uefi", loaderPaths: [debian, "EFI/Boot/bootx64.efi", "/efi/DEBIAN/grubx64.efi"] } as const;
  test.each([
    ["bios, FAT16", 3_000_000, {}, 0x0e],
    ["bios, FAT32", 40_000_001, {}, 0x0c],
    ["uefi, FAT16", 3_000_000, uefi, 0x0e],
    ["uefi, FAT32", 40_000_001, uefi, 0x0c],
    ["uefi, 4096-byte sectors", 40_000_001, { ...uefi, sectorSizeBytes: 4096 }, 0x0e],
  ] as const)("%s", async (_name, initramfsBytes, change, typeByte) => {
    await using directory = await temporaryDirectory();
    const request = await requestIn(directory.dir, initramfsBytes, change);
    expect(await fatTypeByte(request)).toBe(typeByte);
    const volume = await volumeOf(request);
    expect(volume.equals(await volumeOf(request))).toBe(true);
    expect(volume.length).toBeLessThan(1.03 * (initramfsBytes + 8_247_233) + (4 << 20));
    const image = join(directory.dir, "volume.img");
    await writeFile(image, volume);
    await runTestCommand(["fsck.vfat", "-n", image]);
    if (typeByte === 0x0c) expect(volume.subarray(6 * 512, 8 * 512).equals(volume.subarray(0, 2 * 512))).toBe(true);
    expect((await contentOf(image, "/vmlinuz")).equals(noise(8_247_233, 2))).toBe(true);
    expect((await contentOf(image, "/initramfs.img")).equals(noise(initramfsBytes, 3))).toBe(true);
    expect((await contentOf(image, "/config.img")).equals(configArchive)).toBe(true);
    const names = (await runTestCommand(["mdir", "-a", "-b", "-/", "-i", image, "::/"])).trim().split("\n").sort();
    const large = ["::/config.img", "::/initramfs.img", "::/vmlinuz"];
    if (request.firmware === "bios") {
      expect(names).toEqual([...large, "::/ldlinux.c32", "::/ldlinux.sys", "::/syslinux.cfg"].sort());
      expect((await contentOf(image, "/ldlinux.c32")).equals(await readLoader("ldlinux.c32"))).toBe(true);
      const configuration = (await contentOf(image, "/syslinux.cfg")).toString();
      expect(configuration).toContain("INITRD /initramfs.img,/config.img\n  APPEND quiet reimage.x=1\n");
      expect(configuration).toContain("PROMPT 0\nTIMEOUT 0\nNOESCAPE 1\n");
      const ldlinux = await contentOf(image, "/ldlinux.sys");
      const bootSector = await readLoader("syslinux-boot-sector.bin");
      const fitted = fitSyslinux({ bootSector, ldlinux }, volume.indexOf(ldlinux.subarray(0, 512)) / 512);
      expect(fitted.ldlinux.equals(ldlinux)).toBe(true);
      expect(fitted.bootSector.subarray(90).equals(volume.subarray(90, 512))).toBe(true);
      // As SYSLINUX's installer has it: a file that is moved boots no more.
      expect(await runTestCommand(["mattrib", "-i", image, "::/ldlinux.sys"])).toMatch(/SHR/);
    } else {
      const loaders = ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/debian/shimx64.efi", "::/EFI/debian/grubx64.efi"];
      const folders = ["EFI", "EFI/BOOT", "EFI/debian", "loader", "loader/entries"].map((path) => `::/${path}/`);
      const configuration = ["::/loader/loader.conf", "::/loader/entries/reimage.conf"];
      expect(names).toEqual([...large, ...loaders, ...folders, ...configuration].sort());
      for (const path of loaders) {
        expect((await contentOf(image, path.slice(2))).equals(await readLoader("systemd-bootx64.efi"))).toBe(true);
      }
      expect((await contentOf(image, "/loader/loader.conf")).toString()).toContain("timeout 0\n");
      expect((await contentOf(image, "/loader/entries/reimage.conf")).toString()).toContain(
        "linux /vmlinuz\ninitrd /initramfs.img\ninitrd /config.img\noptions quiet reimage.x=1\n",
      );
    }
  });

  test("is another one for another lifeboat, with the serial number from its UUID", async () => {
    await using directory = await temporaryDirectory();
    const request = await requestIn(directory.dir, 100_000);
    const one = await volumeOf(request);
    const other = await volumeOf({ ...request, uuid: "11111111-3c7f-4d57-9d0e-0c8c5b9a6f11" });
    expect(one.readUInt32LE(39)).toBe(0x6f2a7f0c);
    expect(other.readUInt32LE(39)).toBe(0x11111111);
  });

  test("carries another loader where one is named", async () => {
    await using directory = await temporaryDirectory();
    const loaderPath = join(directory.dir, "signed.efi");
    await writeFile(loaderPath, noise(70_001, 9));
    const request = await requestIn(directory.dir, 100_000, { ...uefi, loaderPath });
    const image = join(directory.dir, "volume.img");
    await writeFile(image, await volumeOf(request));
    for (const path of ["/EFI/BOOT/BOOTX64.EFI", "/EFI/debian/shimx64.efi"]) {
      expect((await contentOf(image, path)).equals(noise(70_001, 9))).toBe(true);
    }
  });

  test("is not made of files that change meanwhile", async () => {
    await using directory = await temporaryDirectory();
    for (const change of ["shorter", "longer"]) {
      const request = await requestIn(directory.dir, 6_000_000);
      const making = bootVolume(request);
      await making.next();
      if (change === "shorter") await truncate(request.kernelPath, 5_000_000);
      else {
        await using file = await open(request.kernelPath, "a");
        await file.write("x");
      }
      expect(await refusalOf(Array.fromAsync(making))).toMatchObject({
        code: "lifeboat",
        message: `${request.kernelPath} has changed while it was read`,
      });
    }
  });

  test("is refused for a BIOS with large sectors, and without its files", async () => {
    await using directory = await temporaryDirectory();
    const request = await requestIn(directory.dir, 1000);
    const refused = async (change: Partial<BootVolumeRequest>) =>
      (await refusalOf(bootVolumeSizeBytes({ ...request, ...change }))).message;
    expect(await refused({ sectorSizeBytes: 4096 })).toBe(
      "a BIOS does not boot from a disk with sectors of 4096 bytes",
    );
    expect(await refused({ kernelPath: "/nowhere/vmlinuz" })).toBe("/nowhere/vmlinuz cannot be read");
    expect(await refused({ commandLine: "a\nb" })).toContain("characters");
    expect(await refused({ firmware: "uefi", loaderPaths: ["/EFI/a:b"] })).toContain('"a:b" cannot be the name');
  });
});

test("a command line that a loader would change is refused", () => {
  const refused = (commandLine: string) => {
    try {
      checkCommandLine(commandLine);
    } catch (error) {
      if (error instanceof ReimageError && error.code === "lifeboat") return error.message.replace(/^.*lifeboat /, "");
      throw error;
    }
    return null;
  };
  expect(refused("console=ttyS0 reimage.target.disk='a \"b\"'")).toBeNull();
  expect(refused("x".repeat(COMMAND_LINE_LIMIT_BYTES))).toBeNull();
  expect(refused("x".repeat(COMMAND_LINE_LIMIT_BYTES + 1))).toBe("has 1921 bytes, 1920 are possible");
  for (const line of ["a\nb", "a\rb", "a\0", "ä", "a\tb"]) expect(refused(line)).toContain("characters");
  for (const line of ["", "-", '"a"', " a"]) expect(refused(line)).toContain("begin");
  for (const line of ["quiet initrd=/x", "initrd=/x"]) expect(refused(line)).toContain("names an initrd");
  expect(refused("noinitrd=1")).toBeNull();
});

test("the loaders are what they are called", async () => {
  const masterBootRecord = await readLoader("mbr.bin");
  expect(masterBootRecord.length).toBe(440);
  const bootSector = await readLoader("syslinux-boot-sector.bin");
  expect(bootSector.toString("latin1", 3, 11)).toBe("SYSLINUX");
  expect(bootSector.readUInt16LE(510)).toBe(0xaa55);
  expect((await readLoader("ldlinux.sys")).toString("latin1", 2, 10)).toBe("SYSLINUX");
  expect((await readLoader("ldlinux.c32")).toString("latin1", 1, 4)).toBe("ELF");
  const systemdBoot = await readLoader("systemd-bootx64.efi");
  expect(systemdBoot.toString("latin1", 0, 2)).toBe("MZ");
  expect(systemdBoot.includes("#### LoaderInfo: systemd-boot")).toBe(true);
});

test("a copy of a loader can be changed without changing the next", async () => {
  const digest = async () =>
    createHash("sha256")
      .update(await readLoader("mbr.bin"))
      .digest("hex");
  const before = await digest();
  (await readLoader("mbr.bin")).fill(0);
  expect(await digest()).toBe(before);
});
