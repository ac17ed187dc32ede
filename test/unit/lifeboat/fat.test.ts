/** The FAT file systems of the lifeboat, as dosfstools and mtools see them. */
import { describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { attribute, type FatFile, planFat } from "../../../src/lifeboat/boot-volume/fat.ts";
import { chooseGeometry } from "../../../src/lifeboat/boot-volume/fat-geometry.ts";
import { noise } from "../../support/boot-volume-disk.ts";
import { runTestCommand, temporaryDirectory } from "../../support/loop-device.ts";
import { seeded } from "../disk/make-tables.ts";

const MIB = 1 << 20;

/** Writes the file system with noise as content, has it checked, and reads every file back. */
async function expectWhole(sectorSizeBytes: 512 | 4096, files: readonly FatFile[]): Promise<string> {
  await using directory = await temporaryDirectory();
  const image = join(directory.dir, "fat.img");
  const layout = planFat({ sectorSizeBytes, label: "REIMAGE", volumeId: 0x0badcafe, files });
  const disk = Buffer.alloc(layout.geometry.sizeBytes);
  layout.metadata.copy(disk);
  const contents = layout.files.map(({ sizeBytes }, index) => noise(sizeBytes, index));
  for (const [index, { offsetBytes }] of layout.files.entries()) contents[index]?.copy(disk, offsetBytes);
  await writeFile(image, disk);
  const report = await runTestCommand(["fsck.vfat", "-nv", image]); // ends with 1 for whatever it would repair
  expect(report).toContain(`${sectorSizeBytes} bytes per logical sector`);
  expect(report).toContain(layout.geometry.type === "FAT32" ? "32 bit entries" : "16 bit entries");
  const copies = join(directory.dir, "copies");
  await runTestCommand(["mkdir", copies]);
  await runTestCommand(["mcopy", "-s", "-n", "-Q", "-i", image, "::/", copies]);
  for (const [index, { path }] of layout.files.entries()) {
    expect(contents[index]?.equals(await readFile(join(copies, path)))).toBe(true);
  }
  return await runTestCommand(["mdir", "-a", "-/", "-i", image, "::/"]);
}

describe("a FAT file system", () => {
  const names = [
    "/vmlinuz",
    "/initramfs.img",
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/debian/shimx64.efi",
    "/loader/entries/a.conf",
  ];

  test.each([
    [512, 3, "FAT16"],
    [512, 29 * MIB, "FAT16"],
    [512, 33 * MIB, "FAT32"],
    [512, 66 * MIB + 1, "FAT32"],
    [4096, 3, "FAT16"],
    [4096, 66 * MIB, "FAT16"],
  ] as const)("with sectors of %i bytes and a file of %i", async (sectorSizeBytes, sizeBytes, type) => {
    const files = names.map((path, index) => ({ path, sizeBytes: index === 1 ? sizeBytes : 5000 * index }));
    expect(planFat({ sectorSizeBytes, label: "X", volumeId: 1, files }).geometry.type).toBe(type);
    const listing = await expectWhole(sectorSizeBytes, files);
    expect(listing).toContain("Volume in drive : is REIMAGE");
    expect(listing).toContain("Volume Serial Number is 0BAD-CAFE");
    expect(listing).toMatch(/^BOOTX64 {2}EFI +10000 1980-01-01/m);
    expect(listing).toMatch(/^INITRA~1 IMG +\d+ 1980-01-01 +0:00 +initramfs.img/m);
  });

  test("is FAT32 with 4096-byte sectors where that takes no more room", () => {
    expect(chooseGeometry(4096, (clusterBytes) => (256 * MIB) / clusterBytes).type).toBe("FAT32");
    expect(chooseGeometry(4096, (clusterBytes) => (200 * MIB) / clusterBytes).type).toBe("FAT16");
  });

  test("has room for what is asked, is no larger than sensible, and of the type that it says", () => {
    const next = seeded(7);
    for (let round = 0; round < 400; round += 1) {
      const bytes = next(round % 2 === 0 ? 600 * MIB : 60 * MIB);
      const sector = round % 3 === 0 ? 4096 : 512;
      const needed = (clusterBytes: number) => Math.ceil(bytes / clusterBytes);
      const geometry = chooseGeometry(sector, needed);
      expect(geometry.clusterCount).toBeGreaterThanOrEqual(needed(geometry.clusterSizeBytes));
      // The specification's own rule, and Linux's: the number of clusters decides.
      expect(geometry.clusterCount < 4085 ? "FAT12" : geometry.clusterCount < 65525 ? "FAT16" : "FAT32").toBe(
        geometry.type,
      );
      expect(geometry.sizeBytes % MIB).toBe(0);
      expect(geometry.dataOffsetBytes % 4096).toBe(0);
      const least = sector === 4096 ? 17 * MIB : 3 * MIB;
      expect(geometry.sizeBytes).toBeLessThanOrEqual(Math.max(least, bytes * 1.07 + 2 * MIB));
    }
  });

  test("holds names of all kinds, directories of many clusters, and files without content", async () => {
    const many = Array.from({ length: 150 }, (_, index) => ({
      path: `/many/file number ${index}.config`,
      sizeBytes: index,
    }));
    const listing = await expectWhole(512, [
      { path: "/UPPER.TXT", sizeBytes: 1 },
      { path: "/lower.txt", sizeBytes: 2 },
      { path: "/no extension at all", sizeBytes: 0 },
      { path: "/thirteen.abcd", sizeBytes: 13 }, // fills its entry, so that no zero ends it
      { path: "/long+name [1];=,.efi", sizeBytes: 513 },
      { path: "/two.dots.img", sizeBytes: 5 },
      { path: "/longname with.txt", sizeBytes: 6 }, // would be the next one's short name
      { path: "/LONGNA~1.TXT", sizeBytes: 8 },
      { path: `/${"l".repeat(255)}`, sizeBytes: 7 },
      { path: "/a/b/c/d/e/f", sizeBytes: 4097 },
      { path: "/hidden.sys", sizeBytes: 9, attributes: attribute.readOnly | attribute.hidden | attribute.system },
      ...many,
    ]);
    expect(listing).toMatch(/^UPPER {4}TXT +1 1980-01-01 +0:00 *$/m);
    expect(listing).toContain("file number 149.config");
  });

  test("random trees are whole", async () => {
    const next = seeded(11);
    for (let round = 0; round < 12; round += 1) {
      const paths = new Set<string>();
      for (let file = next(60); file >= 0; file -= 1) {
        const depth = 1 + next(4);
        // Directories and files have other names, so that none is in the other's place.
        const directories = Array.from({ length: depth - 1 }, () => `dir${"ectory ".repeat(next(3))}${next(3)}`);
        paths.add(
          `/${[...directories, `${"file".repeat(1 + next(6))}${next(40)}.${"x".repeat(1 + next(5))}`].join("/")}`,
        );
      }
      const files = [...paths].map((path) => ({ path, sizeBytes: next(3) === 0 ? 0 : next(9000) }));
      await expectWhole(round % 3 === 0 ? 4096 : 512, files);
    }
  });

  test("one name is one file, whatever its capitals; a directory is the same one", async () => {
    const plan = (...paths: string[]) =>
      planFat({ sectorSizeBytes: 512, label: "X", volumeId: 1, files: paths.map((path) => ({ path, sizeBytes: 1 })) });
    expect(() => plan("/a/File", "/A/file")).toThrow(ReimageError);
    expect(() => plan("/a", "/A/b")).toThrow(ReimageError);
    expect(() => plan("/A/b", "/a")).toThrow(ReimageError);
    for (const path of ["/a:b", "/a\\b", "/ä", "/x.", "/..", `/${"l".repeat(256)}`, "/tab\t"]) {
      expect(() => plan(path)).toThrow(ReimageError);
    }
    const layout = plan("/EFI/x", "/efi/y");
    expect(layout.metadata.indexOf("EFI        ", "latin1")).toBe(layout.metadata.lastIndexOf("EFI        ", "latin1"));
  });
});
