/**
 * What only a machine can show: other users of the disk, disks that come late or fail, a program that is killed or frozen,
 * memory that is short, consoles that are not there. Machines run two at a time; most of them have the smallest kiosk
 * (test/support/micro-kiosk.ts), whose old root was not unmounted.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { type GuestShell, openShellBeforeReimage, shellBeforeReimage } from "../support/guest-shell.ts";
import { bootTimeoutMs, type KioskVm, openKioskVm } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type MicroKiosk, makeExt4, makeMicroKiosk, microIdentity, partition } from "../support/micro-kiosk.ts";
import { createEmptyDisk } from "../support/vm-disk.ts";

const MiB = 1024 * 1024;
const testTimeoutMs = 600_000;
const runTimeoutMs = 300_000;

let made: TemporaryDirectory;
let micro: MicroKiosk;
let large: { readonly image: string };
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  large = await makeImageFor4096ByteSectors();
  micro = await makeMicroKiosk(made.dir, "mbr", [large.image]);
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

/** A GPT image for disks with sectors of 4096 bytes. */
async function makeImageFor4096ByteSectors(): Promise<{ image: string }> {
  await makeExt4(at("root-4096.ext4"), "large-sectors", null, 4);
  const image = at("sectors-4096.img");
  createEmptyDisk(image, 8);
  const fdisk = Buffer.from("g\nn\n1\n256\n+4M\nw\n"); // from the first MiB on
  await runTestCommand(["fdisk", "--sector-size", "4096", image], { stdin: fdisk });
  await runTestCommand(["dd", `if=${at("root-4096.ext4")}`, `of=${image}`, "bs=1M", "seek=1", "conv=notrunc"]);
  await runTestCommand(["lbzip2", image]);
  return { image: `${image}.bz2` };
}

/** `reimage run` in the shell before reimage, and whether the disk was written to. */
async function runInShell(shell: GuestShell, disk: string, options = "") {
  const written = `awk '{print $7 + $14}' /sys/block/${disk}/stat`;
  const { status, output } = await shell.run(`before=$(${written})
reimage run --yes ${options}; status=$?
echo "sectors written: $(($(${written}) - before))"; exit $status`);
  const report = `${output}`;
  return { status, isWritten: !/^sectors written: 0$/m.test(output), says: report };
}

/** Who the new OS on the exported disk believes to be. */
async function identityOn(vm: KioskVm, rootAtMiB = 1): Promise<string> {
  const root = `${vm.exportDisk()}?offset=${rootAtMiB * MiB}`;
  return await runTestCommand(["debugfs", "-R", "cat /var/lib/kiosk/identity", root]);
}

test(
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
    expect(wrongSectors).toMatchObject({ status: 3, isWritten: false, says: expect.stringContaining("4096") });
    const right = await runInShell(shell, "vdb", `${on4k} --set image.source=LABEL=data:/images/sectors-4096.img.bz2`);
    expect(right).toMatchObject({ status: 0 });
    expect(await shell.must("blkid -p /dev/vdb1")).toContain('LABEL="large-sectors"');

    shell.leave();
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForExit(bootTimeoutMs);
    expect(await identityOn(vm)).toBe(microIdentity);
  },
  testTimeoutMs,
);
