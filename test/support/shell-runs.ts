/** Runs in a shell of a virtual machine, with the configuration of its kiosk; its disks; and who the new OS is. */
import type { GuestShell } from "./guest-shell.ts";
import type { KioskVm } from "./kiosk-vm.ts";
import { runTestCommand } from "./loop-device.ts";
import type { Vm } from "./qemu.ts";

const MiB = 1 << 20;

/** `reimage run` in the shell before reimage, and whether the disk was written to. */
export async function runInShell(shell: GuestShell, disk: string, options = "") {
  const written = `awk '{print $7 + $14}' /sys/block/${disk}/stat`;
  const { status, output } = await shell.run(`before=$(${written})
reimage run --yes ${options}; status=$?
echo "sectors written: $(($(${written}) - before))"; exit $status`);
  const report = `${output}`;
  return { status, isWritten: !/^sectors written: 0$/m.test(output), says: report };
}

/** Who the new OS on the exported disk believes to be. */
export async function identityOn(vm: KioskVm, rootAtMiB = 1): Promise<string> {
  const root = `${vm.exportDisk()}?offset=${rootAtMiB * MiB}`;
  return await runTestCommand(["debugfs", "-R", "cat /var/lib/kiosk/identity", root]);
}

/** The kernel's name of a disk: of a SCSI or SATA disk by its own page, of a USB disk by the device that it is in. */
export async function diskWithSerial(shell: GuestShell, serial: string): Promise<string> {
  const output = await shell.must(`for disk in /sys/block/sd*; do
if grep -qs ${serial} $disk/device/vpd_pg80 $(readlink -f $disk)/../../../../../../serial; then basename $disk; fi
done`);
  return output.trim();
}

/** The guest gives a device back when it likes; until then its disk is in use. */
export async function removeNode(machine: Vm, node: string): Promise<void> {
  for (;;) {
    try {
      await machine.qmp("blockdev-del", { "node-name": node });
      return;
    } catch (error) {
      if (!String(error).includes("in use")) throw error;
    }
  }
}
