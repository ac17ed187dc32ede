/** Other users of the disk, and other disks: refused, waited for, or left as they are. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import { makeImageFor4096ByteSectors } from "../support/fault-image.ts";
import { openShellBeforeReimage, shellBeforeReimage } from "../support/guest-shell.ts";
import { bootTimeoutMs, openKioskVm } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { type MicroKiosk, makeExt4, makeMicroKiosk, microIdentity, partition } from "../support/micro-kiosk.ts";
import { diskWithSerial, identityOn, removeNode, runInShell } from "../support/shell-runs.ts";
import { createEmptyDisk, createOverlay, type VmDisk } from "../support/vm-disk.ts";

const runTimeoutMs = 300_000;

let made: TemporaryDirectory;
let micro: MicroKiosk;
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  await makeKiosk("tiny", "mbr");
  mkdirSync(at("root-4096/etc"), { recursive: true });
  await makeImageFor4096ByteSectors(at("sectors-4096.img"), at("root-4096"));
  await runTestCommand(["lbzip2", at("sectors-4096.img")]);
  micro = await makeMicroKiosk(made.dir, "mbr", [at("sectors-4096.img.bz2")]);
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

machineTest(
  "a disk that somebody else uses is refused; an old root on a logical volume is read, and the disk then reimaged",
  async () => {
    // The volume group is made in the machine: the disk has room for it, and a second disk holds the old root.
    const disk = at("lvm.img");
    await assembleDisk(disk, {
      table: "mbr",
      sizeMiB: 64,
      partitions: [
        partition(1, 1, 18, "8e", null),
        partition(2, 20, 16, "83", micro.oldData),
        partition(3, 40, 16, "83", null),
      ],
    });
    createEmptyDisk(at("sectors.img"), 32);
    await using vm = await openKioskVm("tiny", "mbr", "virtio", disk);
    const fourK = { file: at("sectors.img"), format: "raw", bus: "virtio", serial: "SECTORS" } as const;
    const source = { file: micro.oldRoot, format: "raw", bus: "scsi", serial: "SOURCE", readOnly: true } as const;
    await using machine = await vm.startReimage({
      disks: [vm.disk, { ...fourK, sectorSizeBytes: 4096 }, source],
      before: `/usr/bin/modprobe -aq virtio_scsi dm_mod md_mod raid1 ext4\n${shellBeforeReimage}`,
      memoryMiB: 512,
    });
    const shell = await openShellBeforeReimage(machine);
    await shell.must(`set -e
lvm() { command lvm "$@" --config 'devices { obtain_device_list_from_udev=0 external_device_info_source=none use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 }'; }
until [ -e /dev/sda ]; do sleep 0.1; done
lvm pvcreate /dev/vda1 && lvm vgcreate kiosk-vg /dev/vda1 && lvm lvcreate -y -Wn -Zn -L 16M -n old-root kiosk-vg
dd if=/dev/sda of=/dev/kiosk-vg/old-root bs=1M
echo 1 >/sys/block/sda/device/delete`);

    const onVolume = await runInShell(shell, "vda");
    expect(onVolume).toMatchObject({
      status: 3,
      isWritten: false,
      says: expect.stringContaining("dm-0 is made of it"),
    });
    await shell.must("lvm vgchange -an --config 'activation { udev_sync=0 udev_rules=0 }'");

    await shell.must("mkswap /dev/vda3 && swapon /dev/vda3");
    const swap = await runInShell(shell, "vda");
    expect(swap).toMatchObject({
      status: 3,
      isWritten: false,
      says: expect.stringContaining("vda3 is swap space in use"),
    });
    await shell.must("swapoff /dev/vda3");

    await shell.must("dmsetup create --noudevsync taken --table '0 1024 linear /dev/vda3 0'");
    const mapped = await runInShell(shell, "vda");
    expect(mapped).toMatchObject({ status: 3, isWritten: false, says: expect.stringContaining("dm-0 is made of it") });
    await shell.must("dmsetup remove --noudevsync taken");

    await shell.must(`set -e # as mdadm --build would
echo md127 >/sys/module/md_mod/parameters/new_array
cd /sys/block/md127/md
echo raid1 >level; echo 1 >raid_disks; cat /sys/block/vda/vda3/dev >new_dev
echo 0 >dev-vda3/slot; echo 8192 >dev-vda3/size; echo 8192 >component_size; echo readonly >array_state`);
    const raid = await runInShell(shell, "vda");
    expect(raid).toMatchObject({ status: 3, isWritten: false, says: expect.stringContaining("md127 is made of it") });
    await shell.must("echo clear >/sys/block/md127/md/array_state");

    const on4k =
      "--set old.root=none --set retention.list= --set log= --set target.disk=serial=SECTORS --set new.root=1";
    const wrongSectors = await runInShell(shell, "vdb", on4k);
    expect(wrongSectors).toMatchObject({
      status: 3,
      isWritten: false,
      says: expect.stringContaining("made for sectors of 512 bytes"),
    });
    const right = await runInShell(shell, "vdb", `${on4k} --set image.source=LABEL=data:/images/sectors-4096.img.bz2`);
    expect(right).toMatchObject({ status: 0 });
    expect(await shell.must("blkid -p /dev/vdb1")).toContain('LABEL="large-sectors"');

    shell.leave();
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    expect(await identityOn(vm)).toBe(microIdentity);
  },
);

machineTest(
  "a USB disk is not taken for the kiosk's; a disk that comes late is waited for; the others are read-only meanwhile",
  async () => {
    await using vm = await openKioskVm("tiny", "mbr", "scsi", micro.oldDisk);
    const noise: VmDisk = { file: at("noise.img"), format: "raw", bus: "sata", serial: "NOISE" };
    const holiday: VmDisk = { file: at("holiday.img"), format: "raw", bus: "usb", serial: "HOLIDAY" };
    const twin: VmDisk = { file: at("twin.qcow2"), format: "qcow2", bus: "usb", serial: "TWIN" };
    await runTestCommand(["dd", "if=/dev/urandom", `of=${noise.file}`, "bs=1M", "count=16"]);
    await makeExt4(holiday.file, "holiday", null, 16);
    createOverlay(micro.oldDisk, twin.file);
    const others = [noise.file, holiday.file];
    const before = await runTestCommand(["sha256sum", ...others]);
    await using machine = await vm.startReimage({
      disks: [noise, holiday, twin],
      extraArguments: ["-device", "virtio-scsi-pci,id=late"],
      before: `/usr/bin/modprobe -aq virtio_scsi xhci_pci usb_storage ahci sd_mod\n${shellBeforeReimage}`,
      beside: `until grep -q '"state":"partial"' /run/reimage/events.ndjson; do :; done 2>/dev/null
for disk in /sys/block/sd*; do flags="$flags $(cat $disk/size $disk/ro | tr '\\n' ' ')"; done
echo "read-only during the write:$flags" >/dev/ttyS0`,
      memoryMiB: 512,
    });
    const plugIn = async (): Promise<void> => {
      const file = { driver: "file", filename: vm.disk.file };
      await machine.qmp("blockdev-add", { driver: vm.disk.format, "node-name": "kiosk", file });
      await machine.qmp("device_add", {
        driver: "scsi-hd",
        id: "kiosk",
        bus: "late.0",
        drive: "kiosk",
        serial: "KIOSK",
      });
    };
    const shell = await openShellBeforeReimage(machine);
    await shell.must("until [ $(ls -d /sys/block/sd* | wc -l) = 3 ]; do sleep 0.1; done");

    const twinDisk = await diskWithSerial(shell, "TWIN");
    const onlyUsb = await runInShell(shell, twinDisk);
    expect(onlyUsb).toMatchObject({ status: 3, isWritten: false, says: expect.stringContaining("a USB disk") });
    const named = await shell.run("reimage plan --set target.disk=serial=TWIN");
    expect(named).toMatchObject({ status: 0, output: expect.stringContaining("serial TWIN: ALL OF IT") });
    await plugIn();
    await shell.must("until [ -e /sys/block/sdd ]; do sleep 0.1; done");
    const ambiguous = await runInShell(shell, "sdd");
    expect(ambiguous).toMatchObject({ status: 3, isWritten: false, says: expect.stringContaining("both LABEL=root") });
    await machine.qmp("device_del", { id: "kiosk" });
    await shell.must(`echo 1 >/sys/block/${twinDisk}/device/delete`); // the twin is unplugged
    await shell.must("until [ $(ls -d /sys/block/sd* | wc -l) = 2 ]; do sleep 0.1; done");
    await removeNode(machine, "kiosk");

    shell.leave();
    await machine.waitForSerial(/\[save\] begins/, runTimeoutMs);
    await plugIn();
    const [flags] = await machine.waitForSerial(/read-only during the write:[^\n]*\n/, runTimeoutMs);
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    const sectors = (mebibytes: number): number => mebibytes * 2048;
    expect(flags).toContain(` ${sectors(16)} 1 `);
    expect(flags).toContain(` ${sectors(64)} 0`);
    expect(flags.match(/ 1(?= )/g)).toHaveLength(2);
    expect(await runTestCommand(["sha256sum", ...others])).toBe(before);
    await runTestCommand(["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", twin.file, micro.oldDisk]);
    expect(await identityOn(vm)).toBe(microIdentity);
  },
);
