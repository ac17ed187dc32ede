import { expect, test } from "bun:test";
import { type BootNextFacts, hasEfiStub, judgeBootNext } from "../../../src/one-shot/boot-next.ts";
import { type ExtlinuxFacts, judgeExtlinux } from "../../../src/one-shot/extlinux.ts";
import { type BootFileSystem, mountOf, pathInside } from "../../../src/one-shot/file-system.ts";
import { type GrubFacts, judgeGrub } from "../../../src/one-shot/grub.ts";
import { judgeKexec, type KexecFacts } from "../../../src/one-shot/kexec.ts";
import type { Judgement } from "../../../src/one-shot/request.ts";
import { judgeSystemdBoot, type SystemdBootFacts } from "../../../src/one-shot/systemd-boot.ts";

const boot: BootFileSystem = {
  mountPoint: "/boot",
  type: "ext4",
  readOnly: false,
  options: ["rw", "relatime"],
  device: "plain",
  uuid: "0b7a",
  partition: { number: 1, startLba: 2048, sectors: 4096, uuid: "f00d" },
  isSubtree: false,
};
const espAt: BootFileSystem = { ...boot, type: "vfat", mountPoint: "/efi" };
const esp = { path: "/efi", fileSystem: espAt };
const grub: GrubFacts = {
  directory: "/boot/grub",
  config: { clearsNextEntry: true, otherDefault: "0", sourcesCustom: true, usesBls: true },
  environmentPath: "/boot/grub/grubenv",
  environment: null,
  environmentFileSystem: boot,
  boot: "/boot",
  bootFileSystem: boot,
  hasEntriesDirectory: true,
  loaderInfo: null,
};
const refusalOf = (judgement: Judgement<unknown>): string | null => ("refused" in judgement ? judgement.refused : null);

test("GRUB is used where it can forget the entry", () => {
  for (const by of ["custom", "bls"] as const) expect(refusalOf(judgeGrub([grub], by))).toBeNull();
  for (const type of ["ext2", "ext3", "xfs", "vfat"]) {
    expect(refusalOf(judgeGrub([{ ...grub, environmentFileSystem: { ...boot, type } }], "custom"))).toBeNull();
  }
});

test.each([
  [{ environmentFileSystem: { ...boot, type: "btrfs" } }, "btrfs"],
  [{ environmentFileSystem: { ...boot, type: "zfs", device: "none" } }, "zfs"],
  [{ environmentFileSystem: { ...boot, type: "f2fs" } }, "f2fs"],
  [{ environmentFileSystem: { ...boot, device: "mapped" } }, "LVM"],
  [{ environmentFileSystem: { ...boot, device: "raid" } }, "RAID"],
  [{ environmentFileSystem: { ...boot, device: "none" } }, "no disk"],
  [{ environmentFileSystem: { ...boot, options: ["rw", "data=journal"] } }, "journal"],
  [{ environmentFileSystem: { ...boot, readOnly: true } }, "read-only"],
  [{ bootFileSystem: { ...boot, readOnly: true } }, "read-only"],
  [{ bootFileSystem: { ...boot, isSubtree: true } }, "part of a file system"],
  [{ bootFileSystem: { ...boot, uuid: null } }, "without UUID"],
  [{ config: { ...grub.config, clearsNextEntry: false } }, "next_entry"],
  [{ config: { ...grub.config, otherDefault: null } }, "next_entry"],
  [{ config: { ...grub.config, sourcesCustom: false } }, "custom.cfg"],
  [{ loaderInfo: "systemd-boot 252" }, "systemd-boot 252"],
] as const)("GRUB is refused with %j", (change, reason) => {
  expect(refusalOf(judgeGrub([{ ...grub, ...change } as GrubFacts], "custom"))).toContain(reason);
});

test("GRUB is refused where there is none, or two, or no loader/entries for it", () => {
  expect(refusalOf(judgeGrub([], "custom"))).toContain("no grub.cfg");
  expect(refusalOf(judgeGrub([grub, { ...grub, directory: "/boot/grub2" }], "custom"))).toContain("/boot/grub2");
  expect(refusalOf(judgeGrub([{ ...grub, hasEntriesDirectory: false }], "bls"))).toContain("loader/entries");
  expect(refusalOf(judgeGrub([{ ...grub, config: { ...grub.config, usesBls: false } }], "bls"))).toContain("blscfg");
});

const systemdBoot: SystemdBootFacts = { loaderInfo: "systemd-boot 252.39-1~deb12u2", features: 0x7fn, esp };
test.each([
  [{}, null],
  [{ loaderInfo: null }, "LoaderInfo"],
  [{ loaderInfo: "GRUB 2.12" }, "GRUB 2.12"],
  [{ loaderInfo: "systemd-boot 249" }, "older"],
  [{ features: 0x6fn }, "LoaderFeatures"],
  [{ features: 0x77n }, "LoaderFeatures"],
  [{ esp: null }, "no FAT"],
  [{ esp: { path: "/efi", fileSystem: { ...espAt, readOnly: true } } }, "read-only"],
])("systemd-boot with %p", (change, reason) => {
  const refused = refusalOf(judgeSystemdBoot({ ...systemdBoot, ...change }));
  if (reason === null) expect(refused).toBeNull();
  else expect(refused).toContain(reason);
});

const bootNext: BootNextFacts = { bootVariables: 3, bits: "64", secureBoot: false, esp };
test.each([
  [{}, null],
  [{ bootVariables: 0 }, "BIOS"],
  [{ bits: "32" }, "32 bits"],
  [{ bits: null }, "unknown"],
  [{ secureBoot: true }, "Secure Boot"],
  [{ esp: null }, "no EFI system partition"],
  [{ esp: { path: "/efi", fileSystem: { ...espAt, readOnly: true } } }, "read-only"],
  [{ esp: { path: "/efi", fileSystem: { ...espAt, partition: null } } }, "no partition"],
  [{ esp: { path: "/efi", fileSystem: { ...espAt, device: "raid" as const } } }, "no partition"],
])("BootNext with %j", (change, reason) => {
  const refused = refusalOf(judgeBootNext({ ...bootNext, ...change }));
  if (reason === null) expect(refused).toBeNull();
  else expect(refused).toContain(reason);
});

test("a kernel that firmware can start is a PE file with the kernel's header", () => {
  const image = Buffer.alloc(1024);
  image.write("MZ", 0);
  image.write("HdrS", 0x202);
  expect(hasEfiStub(image)).toBe(true);
  for (const at of [0, 0x202]) expect(hasEfiStub(Buffer.from(image).fill(0, at, at + 1))).toBe(false);
  expect(hasEfiStub(image.subarray(0, 0x205))).toBe(false);
  expect(hasEfiStub(Buffer.alloc(0))).toBe(false);
});

const extlinux: ExtlinuxFacts = {
  directory: "/boot/extlinux",
  configPath: "/boot/extlinux/extlinux.conf",
  isUefi: false,
  program: "/usr/bin/extlinux",
  fileSystem: boot,
};
test.each([
  [{}, null],
  [{ isUefi: true }, "UEFI"],
  [{ program: null }, "not installed"],
  [{ fileSystem: { ...boot, type: "btrfs" } }, "btrfs"],
  [{ fileSystem: { ...boot, device: "raid" as const } }, "plain partition"],
  [{ fileSystem: { ...boot, readOnly: true } }, "read-only"],
  [{ fileSystem: { ...boot, isSubtree: true } }, "part"],
])("extlinux with %j", (change, reason) => {
  const refused = refusalOf(judgeExtlinux({ ...extlinux, ...change }));
  if (reason === null) expect(refused).toBeNull();
  else expect(refused).toContain(reason);
});
test("extlinux that is not there is refused", () => expect(refusalOf(judgeExtlinux(null))).toContain("ldlinux.sys"));

const kexec: KexecFacts = { architecture: "x64", isSupported: true, isDisabled: false, lockdown: "[none] integrity" };
test.each([
  [{}, null],
  [{ lockdown: null }, null],
  [{ architecture: "ia32" }, "ia32"],
  [{ isSupported: false }, "no kexec"],
  [{ isDisabled: true }, "kexec_load_disabled"],
  [{ lockdown: "none [integrity] confidentiality" }, "locked down"],
])("kexec with %j", (change, reason) => {
  const refused = refusalOf(judgeKexec({ ...kexec, ...change }));
  if (reason === null) expect(refused).toBeNull();
  else expect(refused).toContain(reason);
});

test("a path lies in the last mount on the longest mount point above it", () => {
  const mount = (mountPoint: string, source: string) => ({
    deviceNumber: "8:1",
    root: "/",
    mountPoint,
    type: "ext4",
    source,
    options: "rw",
    superOptions: "rw",
  });
  const mounts = [mount("/", "a"), mount("/boot", "b"), mount("/bo", "c"), mount("/boot", "d")];
  expect(mountOf(mounts, "/boot/grub").source).toBe("d");
  expect(mountOf(mounts, "/boot").source).toBe("d");
  expect(mountOf(mounts, "/boots").source).toBe("a");
  expect(pathInside(boot, "/boot/reimage/vmlinuz")).toBe("/reimage/vmlinuz");
  expect(pathInside({ ...boot, mountPoint: "/" }, "/boot/reimage/vmlinuz")).toBe("/boot/reimage/vmlinuz");
});
