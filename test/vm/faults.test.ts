/**
 * What only a machine can show: other users of the disk, disks that come late or fail, a program that is killed or frozen,
 * memory that is short, consoles that are not there. Most of them have the smallest kiosk
 * (test/support/micro-kiosk.ts), whose old root was not unmounted.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import {
  type GuestShell,
  openRescueShell,
  openShellBeforeReimage,
  shellBeforeReimage,
} from "../support/guest-shell.ts";
import { bootTimeoutMs, type KioskVm, openKioskVm, readFileInside } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type MicroKiosk, makeExt4, makeMicroKiosk, microIdentity, partition } from "../support/micro-kiosk.ts";
import type { Vm } from "../support/qemu.ts";
import { createEmptyDisk, createOverlay, type VmDisk } from "../support/vm-disk.ts";

const MiB = 1024 * 1024;
const testTimeoutMs = 2_400_000; // most of it is waiting for a turn
const runTimeoutMs = 300_000;
/** Enough for the smallest kiosk; at 380 MiB the initramfs no longer unpacks. Measured. */
const leastMemoryMiB = 420;

let made: TemporaryDirectory;
let micro: MicroKiosk;
let large: { readonly image: string };
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  for (const table of ["mbr", "gpt"] as const) await makeKiosk("tiny", table); // by one, before all use it
  large = await makeImageFor4096ByteSectors();
  micro = await makeMicroKiosk(made.dir, "mbr", [large.image]);
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

/** Two at a time: a machine that boots keeps little more than one core busy. */
const waiting: (() => void)[] = [];
let free = 2;

function machineTest(name: string, run: () => Promise<void>): void {
  test.concurrent(
    name,
    async () => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        await run();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
    testTimeoutMs,
  );
}

/** A GPT image for disks with sectors of 4096 bytes. */
async function makeImageFor4096ByteSectors(): Promise<{ image: string }> {
  mkdirSync(at("root-4096/etc"), { recursive: true });
  await makeExt4(at("root-4096.ext4"), "large-sectors", at("root-4096"), 12, 4096);
  const image = at("sectors-4096.img");
  createEmptyDisk(image, 16);
  const fdisk = Buffer.from("g\nn\n1\n256\n+12M\nw\n"); // from the first MiB on
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

/** The guest gives a device back when it likes; until then its disk is in use. */
async function removeNode(machine: Vm, node: string): Promise<void> {
  for (;;) {
    try {
      await machine.qmp("blockdev-del", { "node-name": node });
      return;
    } catch (error) {
      if (!String(error).includes("in use")) throw error;
    }
  }
}

machineTest(
  "errors of the disk: exit status 4, no boot, the reason on the screen, the image kept, and no reboot by itself",
  async () => {
    await using vm = await openKioskVm("tiny", "mbr", "scsi", micro.oldDisk);
    const eio = 5;
    const blank = async (name: string, failing: NonNullable<VmDisk["failing"]>): Promise<VmDisk> => {
      createEmptyDisk(at(`${name}.img`), 64);
      return { file: at(`${name}.img`), format: "raw", bus: "scsi", serial: name, failing };
    };
    const disks = [
      { ...vm.disk, failing: { access: "write", atByte: 5 * MiB, errno: eio } } as const,
      await blank("READ", { access: "read", atByte: 9 * MiB, errno: eio }),
      await blank("FLUSH", { access: "flush", atByte: 0, errno: eio }),
    ];
    await using machine = await vm.startReimage({
      disks,
      before: `/usr/bin/modprobe -aq virtio_scsi sd_mod\n${shellBeforeReimage}`,
      furtherConfig: "onFailure: reboot\n",
      memoryMiB: 512,
    });
    const shell = await openShellBeforeReimage(machine);
    await shell.must("until [ $(ls -d /sys/block/sd* | wc -l) = 3 ]; do sleep 0.1; done");
    const blankTarget = "--set old.root=none --set retention.list= --set log= --set target.disk=serial=";
    for (const serial of ["READ", "FLUSH"]) {
      const disk = await diskWithSerial(shell, serial);
      const { status, says } = await runInShell(shell, disk, `${blankTarget}${serial} --work /tmp/${serial}`);
      expect({ status, says }).toMatchObject({ status: 4, says: expect.stringMatching(/EIO|input\/output error/i) });
      await expectPartial(shell, disk, `/tmp/${serial}`);
      await shell.must(`rm -r /tmp/${serial}`);
    }

    shell.leave();
    const [ending] = await machine.waitForSerial(/reimage: (success|failed)[^\n]*\n/, runTimeoutMs);
    expect(ending).toMatch(/EIO|input\/output error/i);
    const rescue = await openRescueShell(machine, bootTimeoutMs);
    await expectPartial(rescue, await diskWithSerial(rescue, "KIOSK-0042"), "/run/reimage");
    await rescue.must("[ -s /run/reimage/image ] && tar -tf /run/reimage/retained.tar | grep identity");
    expect(await rescue.must("cat /dev/vcs1")).toMatch(/failed in stage write/); // the other console
  },
);

/** The kernel's name of a disk: of a SCSI or SATA disk by its own page, of a USB disk by the device that it is in. */
async function diskWithSerial(shell: GuestShell, serial: string): Promise<string> {
  const output = await shell.must(`for disk in /sys/block/sd*; do
if grep -qs ${serial} $disk/device/vpd_pg80 $(readlink -f $disk)/../../../../../../serial; then basename $disk; fi
done`);
  return output.trim();
}

/** The report in the work directory says so, and the disk has no first sector. */
async function expectPartial(shell: GuestShell, disk: string, workDir: string): Promise<void> {
  const report = JSON.parse(await shell.must(`cat ${workDir}/report.json`));
  expect(report).toMatchObject({ outcome: "failed", stage: "write", target: "partial", code: "device-io" });
  expect(report.reason).toMatch(/EIO|input\/output error/i);
  expect(await shell.must(`head -c 512 /dev/${disk} | tr -d '\\0' | wc -c`)).toBe("0\n");
}

machineTest(
  "killed at ten moments of one run, without a console, it carries on; the new system boots with its identity",
  async () => {
    const moments = [
      '"stage-started","stage":"save"',
      "copying the image to memory",
      "decoding the image once",
      "saving the retained files",
      '"stage-finished","stage":"save"',
      '"state":"partial"',
      "writing the image",
      "reading it back",
      '"stage-started","stage":"restore"',
      "files and directories are back",
    ];
    await using vm = await openKioskVm("tiny", "mbr", "virtio");
    await using machine = await vm.startReimage({
      consoles: "",
      beside: `while read -r moment; do
until grep -qF "$moment" /run/reimage/events.ndjson; do :; done 2>/dev/null
kill -9 $(pidof reimage) && echo killed >>/run/reimage/savedperms.kills
done <<'MOMENTS'
${moments.join("\n")}
MOMENTS`,
      memoryMiB: 512,
    });
    await machine.waitForExit(2 * runTimeoutMs);
    expect(machine.serialText()).not.toContain("reimage"); // no console= at all
    const root = { number: 1, startMiB: 1, sizeMiB: 32, holds: "root" } as const;
    const events = await readFileInside(vm.exportDisk(), root, "/kiosk/log/events.ndjson");
    expect(events.match(/"run-started"/g)?.length).toBeGreaterThanOrEqual(10);
    await using booted = await vm.startFromDisk({ memoryMiB: 512 });
    await booted.waitForSerial(/tiny kiosk 2026\.11/, bootTimeoutMs);
    await booted.waitForSerial(/tiny-0042 login:/, bootTimeoutMs);
  },
);

machineTest("a program that never stays up ends in a rescue shell, not in a panic", async () => {
  await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
  await using machine = await vm.startReimage({
    beside: "while :; do kill -9 $(pidof reimage); done 2>/dev/null",
    memoryMiB: 512,
  });
  await machine.waitForSerial(/starting it again \(20 of 20\)/, runTimeoutMs);
  await machine.waitForSerial(/reimage: failed: the program did not stay up/, bootTimeoutMs);
  const shell = await openRescueShell(machine, bootTimeoutMs);
  expect(await shell.must("cat /proc/1/comm")).toBe("init\n");
  expect(machine.serialText()).not.toContain("panic");
  await machine.kill();
  expect(vm.isUntouched()).toBe(true);
});

machineTest(
  "a frozen program is reset by the watchdog, a busy one is not; vfat takes the content of retained files, not their owner",
  async () => {
    mkdirSync(at("gpt"));
    const gpt = await makeMicroKiosk(at("gpt"), "gpt");
    await using vm = await openKioskVm("tiny", "gpt", "virtio", gpt.oldDisk);
    await using machine = await vm.startReimage({
      firmware: "bios", // nothing boots from the disk here
      watchdog: true,
      allowReboot: true,
      before: shellBeforeReimage,
      beside: `[ -e /freeze ] || exit
until grep -q '"stage-started","stage":"save"' /run/reimage/events.ndjson; do :; done 2>/dev/null
kill -STOP $(pidof reimage) && echo frozen >/dev/ttyS0`,
      furtherConfig: "watchdog: { timeoutSeconds: 5 }\n",
      furtherList: "/boot/efi/kiosk\n",
      append: "reimage.new.mounts./boot/efi=1",
      memoryMiB: 512,
    });
    const first = await openShellBeforeReimage(machine);
    await first.must("touch /freeze");
    first.leave();
    await machine.waitForSerial(/frozen/, runTimeoutMs);
    const second = await openShellBeforeReimage(machine); // after the reset
    second.leave();
    const [warning] = await machine.waitForSerial(/[^\n]*site\.cfg: [^\n]*\n/, runTimeoutMs);
    expect(warning).toContain("owner");
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForSerial(/shell-ready/, bootTimeoutMs); // onSuccess: reboot
    await machine.kill();

    const exported = vm.exportDisk();
    expect(await runTestCommand(["mtype", "-i", `${exported}@@1M`, "::/kiosk/site.cfg"])).toBe("site=42\n");
    const root = { number: 2, startMiB: 3, sizeMiB: 12, holds: "root" } as const;
    const log = await readFileInside(exported, root, "/kiosk/log/reimage.log");
    expect(log).toMatch(/watchdog \/dev\/watchdog0 \(i6300ESB timer\) bites after 5 s/i);
  },
);

const refused = "reimage.target.disk=serial=ABSENT reimage.waitSeconds=1";

machineTest("a refused run with onFailure: reboot goes back to the old system", async () => {
  await using vm = await openKioskVm("tiny", "mbr", "virtio");
  await using machine = await vm.startReimage({ append: `${refused} reimage.onFailure=reboot`, memoryMiB: 512 });
  await machine.waitForSerial(/reimage: failed[^\n]*ABSENT|reimage: failed[^\n]*did not appear/, runTimeoutMs);
  await machine.waitForSerial(/reboot: Restarting system/, bootTimeoutMs);
  await machine.waitForExit(bootTimeoutMs);
  expect(vm.isUntouched()).toBe(true);
  await using booted = await vm.startFromDisk({ memoryMiB: 512 });
  await booted.waitForSerial(/tiny kiosk 2019\.3/, bootTimeoutMs);
  await booted.waitForSerial(/tiny-0042 login:/, bootTimeoutMs);
});

machineTest("a hardened machine offers no shell, not even after a failure", async () => {
  await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
  await using machine = await vm.startReimage({
    append: `${refused} reimage.shells=[]`,
    beside: `until ps -o args | grep -q '^sleep 3600'; do sleep 1; done # the bootstrap has nothing left to do
echo "shells: $(ps -o args | grep -cE '^(getty|cttyhack|sh -l|-sh)')" >/dev/ttyS0`,
    memoryMiB: 512,
  });
  await machine.waitForSerial(/this machine is configured without shells/, runTimeoutMs);
  await machine.waitForSerial(/shells: 0\r?\n/, bootTimeoutMs);
  await machine.kill();
  expect(vm.isUntouched()).toBe(true);
});

machineTest(
  "memory that is short is refused with the numbers, and the machine powered off; with a little more, the run succeeds",
  async () => {
    await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
    {
      await using machine = await vm.startReimage({
        before: shellBeforeReimage,
        append: "reimage.onFailure=poweroff",
        memoryMiB: leastMemoryMiB,
      });
      const shell = await openShellBeforeReimage(machine);
      const memory = "mount -t tmpfs -o size=100% tmpfs";
      await shell.must(`mkdir /ballast && for at in /ballast /tmp /run; do ${memory} $at || exit; done`);
      const plan = JSON.parse(await shell.must("reimage plan --json"));
      const spareMiB = Math.floor((plan.memory.availableBytes - plan.memory.neededBytes) / MiB);
      const marginMiB = 8;
      const fill = (mebibytes: number) => shell.must(`dd if=/dev/zero of=/ballast/fill bs=1M count=${mebibytes}`);
      await fill(spareMiB - marginMiB);
      expect(await shell.run("reimage plan")).toMatchObject({ status: 0 });
      await fill(spareMiB + marginMiB);
      await shell.must("umount /tmp /run");
      shell.leave();
      const numbers = /not enough memory: (\d+) MiB needed \(image 2 MiB[^\n]* (\d+) MiB available/;
      const [, needed, available] = await machine.waitForSerial(numbers, runTimeoutMs);
      expect(Number(available)).toBeLessThan(Number(needed));
      await machine.waitForSerial(/reboot: Power down/, bootTimeoutMs);
      await machine.waitForExit(bootTimeoutMs);
    }
    expect(vm.isUntouched()).toBe(true);
    // The console is one that the machine does not have: success shows on the disk.
    await using machine = await vm.startReimage({ consoles: "console=ttyS9", memoryMiB: leastMemoryMiB });
    await machine.waitForExit(runTimeoutMs);
    expect(await identityOn(vm)).toBe(microIdentity);
  },
);
