import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseModulesDep, selectModules } from "../../../initramfs/select-modules.ts";

// From Debian's linux-image-6.1.0-56-amd64, a part of it.
const captured = readFileSync(join(import.meta.dir, "../../fixtures/initramfs/modules.dep"), "utf8");
const dependencies = parseModulesDep(captured);
const select = (...patterns: string[]) => selectModules(dependencies, patterns);

describe("selectModules", () => {
  test("takes along what a module depends on", () => {
    expect(select("drivers/ata/ahci").modules).toEqual([
      "kernel/drivers/ata/ahci.ko",
      "kernel/drivers/ata/libahci.ko",
      "kernel/drivers/ata/libata.ko",
      "kernel/drivers/scsi/scsi_common.ko",
      "kernel/drivers/scsi/scsi_mod.ko",
    ]);
  });

  test("follows dependencies that the list does not close over", () => {
    const open = parseModulesDep("kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko: kernel/a.ko\n");
    expect(selectModules(open, ["a"]).modules).toEqual(["kernel/a.ko", "kernel/b.ko", "kernel/c.ko"]);
  });

  test("a star stays inside a folder", () => {
    const { modules } = select("drivers/scsi/*");
    expect(modules).toContain("kernel/drivers/scsi/3w-9xxx.ko");
    expect(modules).not.toContain("kernel/drivers/scsi/aic94xx/aic94xx.ko");
  });

  test("a name is the whole name", () => {
    expect(select("drivers/virtio/virtio").modules).toEqual([
      "kernel/drivers/virtio/virtio.ko",
      "kernel/drivers/virtio/virtio_ring.ko",
    ]);
  });

  test("leaves out what nobody asked for", () => {
    expect(select("fs/ext4/ext4", "drivers/net/virtio_net").modules).not.toContain("kernel/drivers/gpu/drm/drm.ko");
  });

  test("hyphen and underscore are the same, as for modprobe", () => {
    expect(select("block/t10_pi").modules).toContain("kernel/block/t10-pi.ko");
    expect(select("drivers/block/virtio-blk").unmatched).toEqual([]);
  });

  test("compressed modules of other kernels are found too", () => {
    const compressed = parseModulesDep("kernel/fs/xfs/xfs.ko.zst: kernel/lib/libcrc32c.ko.zst\n");
    expect(selectModules(compressed, ["fs/xfs/xfs"]).modules).toEqual([
      "kernel/fs/xfs/xfs.ko.zst",
      "kernel/lib/libcrc32c.ko.zst",
    ]);
  });

  test("names the patterns that this kernel has nothing for, neither as a module nor built in", () => {
    const builtin = ["kernel/drivers/rtc/rtc-cmos.ko"];
    const patterns = ["drivers/rtc/rtc-cmos", "drivers/nvme/host/nvme", "fs/ext4/ext4"];
    expect(selectModules(dependencies, patterns, builtin).unmatched).toEqual(["drivers/nvme/host/nvme"]);
  });
});
