/** What becomes of the machine when the one boot does not come up, for each method. For the operator, before he agrees. */
import type { OneShotMethod } from "./request.ts";

const afterPanic = "A kernel that panics restarts the machine after 30 seconds, and";
const afterHang = "A kernel that hangs needs a watchdog or somebody who switches the machine off and on;";

const fallbacks: Readonly<Record<OneShotMethod, string>> = {
  grub: `GRUB forgets the entry before it starts it (and does not start it where it cannot forget it). ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut before GRUB starts leaves the one boot to come; one after that boots the old system. A kernel that GRUB cannot load restarts the machine, into the old system.`,
  "grub-bls": `GRUB forgets the entry before it starts it. ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut before GRUB starts leaves the one boot to come; one after that boots the old system. Where GRUB cannot load the kernel, its menu waits for somebody to choose.`,
  "systemd-boot": `systemd-boot forgets the choice before it starts the entry, and counts its one try. ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut before systemd-boot starts leaves the one boot to come; one after that boots the old system.`,
  extlinux: `extlinux forgets the entry before it starts it. ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut before extlinux starts leaves the one boot to come; one after that boots the old system. Where extlinux cannot load the kernel, it falls back to its own prompt or menu.`,
  bootnext: `The firmware forgets BootNext before it starts the entry. ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut before the firmware chooses leaves the one boot to come; one after that boots the old system. Where the firmware cannot start the kernel, it goes on with its boot order: the old system.`,
  kexec: `Nothing on the disk and nothing in the firmware changes: the kernel lies in memory. ${afterPanic} the old system boots. ${afterHang} then the old system boots. A power cut, or an ordinary restart instead of a kexec, boots the old system.`,
};

/** In words: what happens when the one boot panics, hangs, cannot be loaded, or loses its power. */
export function describeFallback(method: OneShotMethod): string {
  return fallbacks[method];
}
