/** The lifeboat as a file on LVM: what the program thinks of the disk is compared with the disk itself, from outside. */
import { expect } from "bun:test";
import { open, truncate, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { appendConfig } from "../../scripts/kiosk/append-config.ts";
import { overlapsAny } from "../../src/image/regions.ts";
import { coversRegions } from "../../src/lifeboat/places/region-sets.ts";
import { type ClaimOutcome, contentOf, imageMiB } from "../support/claim-on-lvm.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm } from "../support/qemu.ts";

const MIB = 1 << 20;

/** `root` is linear in two stretches, the second of which lies before the first on the disk; `wide` is striped. */
const guest = `#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec >/dev/ttyS0 2>&1
/usr/bin/modprobe -aq virtio_pci virtio_blk dm-mod ext4
while [ ! -e /dev/vdb ]; do busybox sleep 0.2; done
run() { lvm "$@" --config 'activation { udev_sync=0 udev_rules=0 } devices { use_devicesfile=0 }' >/dev/null || echo "failed: $*"; }
run pvcreate /dev/vda1 /dev/vda2
run vgcreate vg /dev/vda1 /dev/vda2
run lvcreate -Wn -n root -l 12 vg /dev/vda1:26-37
run lvextend -l +12 vg/root /dev/vda1:2-13
run lvcreate -Wn -n wide -i 2 -l 24 vg /dev/vda1 /dev/vda2
mkdir /old
claim() { # VOLUME
  busybox dd if=/dev/vdb of=/dev/mapper/vg-$1 bs=1M 2>/dev/null
  mount -t ext4 /dev/mapper/vg-$1 /old
  BUN_BE_BUN=1 reimage /claim.js
  umount /old
}
claim wide
claim root
busybox sync
busybox poweroff -f
`;

machineTest("a logical volume in two stretches is followed to the disk; a striped one is refused", async () => {
  await using folder = await temporaryDirectory();
  const at = (name: string) => join(folder.dir, name);
  for (const [name, sizeMiB] of [
    ["disk", 400],
    ["fs", 96],
  ] as const) {
    await writeFile(at(name), "");
    await truncate(at(name), sizeMiB * MIB);
  }
  await runTestCommand(["sfdisk", "--quiet", at("disk")], {
    stdin: Buffer.from("label: dos\nstart=1MiB, size=200MiB, type=8e\nstart=201MiB, size=150MiB, type=8e\n"),
  });
  await runTestCommand(["mkfs.ext4", "-q", "-F", "-b", "4096", at("fs")]);
  const bundle = await Bun.build({ entrypoints: [resolve("test/support/claim-on-lvm.ts")], target: "bun" });
  const program = (await bundle.outputs[0]?.text()) ?? "";
  const initrd = await appendConfig("build/initramfs.img", {}, at("initrd"), {
    "test-init": { executable: guest },
    "claim.js": program,
  });
  const disk = (name: string) => ({ file: at(name), format: "raw", bus: "virtio" }) as const;
  await using vm = await startVm({
    firmware: "bios",
    disks: [disk("disk"), disk("fs")],
    kernel: resolve("build/vmlinuz"),
    initrd,
    append: "console=ttyS0,115200 quiet rdinit=/test-init no_timer_check",
  });
  const outcome = async (): Promise<ClaimOutcome> =>
    JSON.parse((await vm.waitForSerial(/^claim (.*)\r?\n/m, 120_000))[1] ?? "");
  expect(await outcome()).toEqual({
    failed: expect.stringContaining('has no fixed place on one disk: device-mapper makes it with "striped"'),
  });
  const { regions = [], checked, failed } = await outcome();
  expect({ checked, failed }).toEqual({ checked: null, failed: undefined });
  await vm.waitForExit(120_000);
  expect(vm.serialText()).not.toContain("failed: ");

  // Extents of 4 MiB, behind the first MiB of the partition; one stretch alone is too small.
  const stretches = [26, 2].map((extent) => ({ offsetBytes: (1 + 1 + extent * 4) * MIB, sizeBytes: 48 * MIB }));
  for (const stretch of stretches) expect(overlapsAny(stretch, regions)).toBe(true);
  expect(coversRegions(stretches, regions)).toBe(true);
  await using raw = await open(at("disk"), "r");
  for (const [index, region] of regions.entries()) {
    const { offsetBytes, sizeBytes } = region;
    expect(overlapsAny(region, [{ offsetBytes: 0, sizeBytes: imageMiB * MIB }])).toBe(false);
    const found = Buffer.alloc(sizeBytes);
    await raw.read(found, 0, sizeBytes, offsetBytes);
    expect(found.equals(contentOf(index, sizeBytes))).toBe(true);
  }
});
