/** How a machine ends that cannot be reimaged: a disk that fails, a disk that is not there, memory that is short. */
import { afterAll, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import {
  type GuestShell,
  openRescueShell,
  openShellBeforeReimage,
  shellBeforeReimage,
} from "../support/guest-shell.ts";
import { bootTimeoutMs, openKioskVm } from "../support/kiosk-vm.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { type MicroKiosk, makeMicroKiosk, microIdentity } from "../support/micro-kiosk.ts";
import { diskWithSerial, identityOn, runInShell } from "../support/shell-runs.ts";
import { createEmptyDisk, type VmDisk } from "../support/vm-disk.ts";

const MiB = 1 << 20;
const runTimeoutMs = 300_000;
/** Enough for the smallest kiosk; at 430 MiB the initramfs no longer unpacks. Measured. */
const leastMemoryMiB = 448;

let made: TemporaryDirectory;
let micro: MicroKiosk;
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  await makeKiosk("tiny", "mbr");
  micro = await makeMicroKiosk(made.dir, "mbr");
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

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
      { ...vm.disk, failing: { access: "write", atByte: 2 * MiB, errno: eio } } as const,
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

/** The report in the work directory says so, and the disk has no first sector. */
async function expectPartial(shell: GuestShell, disk: string, workDir: string): Promise<void> {
  const report = JSON.parse(await shell.must(`cat ${workDir}/report.json`));
  expect(report).toMatchObject({ outcome: "failed", stage: "write", target: "partial", code: "device-io" });
  expect(report.reason).toMatch(/EIO|input\/output error/i);
  expect(await shell.must(`head -c 512 /dev/${disk} | tr -d '\\0' | wc -c`)).toBe("0\n");
}

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
