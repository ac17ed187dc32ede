/** An entry file of the Boot Loader Specification, type #1, as systemd-boot and Fedora's GRUB read it. Pure. */

export interface LoaderEntry {
  readonly title: string;
  /** Paths inside the file system that the entry lies on. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
}

/** The text of the file. `furtherLines` are keys that only one loader knows. */
export function formatLoaderEntry(entry: LoaderEntry, furtherLines: readonly string[] = []): string {
  return [
    `title ${entry.title}`,
    `linux ${entry.kernel}`,
    `initrd ${entry.initramfs}`,
    `options ${entry.commandLine}`,
    ...furtherLines,
    "",
  ].join("\n");
}
