/** What the loaders on the boot volume are told: one thing to boot, at once, without asking. Pure. */
import { ReimageError } from "../../errors.ts";

/** Names on the boot volume. */
export const volumePath = { kernel: "/vmlinuz", initramfs: "/initramfs.img", configuration: "/config.img" } as const;

/**
 * Linux takes 2047 bytes (COMMAND_LINE_SIZE on x86) and cuts off the rest without a word; SYSLINUX and systemd-boot put the
 * names of the kernel and of both archives before and after ours.
 */
export const COMMAND_LINE_LIMIT_BYTES = 1920;

/** Throws ReimageError for a command line that would not reach the kernel as it is. */
export function checkCommandLine(commandLine: string): void {
  const refuse = (reason: string): never => {
    throw new ReimageError("lifeboat", `the kernel command line of the lifeboat ${reason}`, {
      hint: "long values and values with other letters belong in the configuration file",
    });
  };
  if (!/^[\x20-\x7e]*$/.test(commandLine)) refuse("has characters that a boot loader may change");
  // systemd-boot takes quotes around a whole value away, SYSLINUX takes "-" for nothing at all.
  if (!/^[A-Za-z0-9]/.test(commandLine)) refuse("does not begin with a letter or digit");
  if (commandLine.length > COMMAND_LINE_LIMIT_BYTES) {
    refuse(`has ${commandLine.length} bytes, ${COMMAND_LINE_LIMIT_BYTES} are possible`);
  }
  if (/(^| )initrd=/.test(commandLine)) refuse("names an initrd: the boot volume has its own");
}

/** `/syslinux.cfg`. NOESCAPE: a key that is stuck must not stop the machine at a prompt. */
export function syslinuxConfiguration(commandLine: string): string {
  return [
    "DEFAULT reimage",
    "PROMPT 0",
    "TIMEOUT 0",
    "NOESCAPE 1",
    "ALLOWOPTIONS 0",
    "LABEL reimage",
    `  LINUX ${volumePath.kernel}`,
    `  INITRD ${volumePath.initramfs},${volumePath.configuration}`,
    `  APPEND ${commandLine}`,
    "",
  ].join("\n");
}

/** `/loader/loader.conf` of systemd-boot. */
export const systemdBootConfiguration = [
  "default reimage.conf",
  "timeout 0",
  "editor no",
  "auto-entries no",
  "auto-firmware no",
  "",
].join("\n");

/** `/loader/entries/reimage.conf` of systemd-boot. */
export function systemdBootEntry(commandLine: string): string {
  return [
    "title reimage",
    `linux ${volumePath.kernel}`,
    `initrd ${volumePath.initramfs}`,
    `initrd ${volumePath.configuration}`,
    `options ${commandLine}`,
    "",
  ].join("\n");
}
