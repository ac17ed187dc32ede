/** What a grub.cfg does, as far as a one shot depends on it. Pure; grub-mkconfig's output is what it knows. */

export interface GrubConfig {
  /** It boots `next_entry` of grubenv, and clears it there before (00_header of grub-mkconfig). */
  readonly clearsNextEntry: boolean;
  /** The entry that it boots otherwise, as GRUB's script writes it: `0`, `${saved_entry}` …; null: none was found. */
  readonly otherDefault: string | null;
  /** It reads custom.cfg beside it (41_custom). */
  readonly sourcesCustom: boolean;
  /** It makes its menu from loader/entries (Fedora, RHEL). */
  readonly usesBls: boolean;
}

/** Reads a grub.cfg. Throws nothing: where it is not as grub-mkconfig writes it, the facts are false. */
export function parseGrubConfig(text: string): GrubConfig {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const chosen = lines.findIndex((line) => /^set default="\$\{next_entry\}"$/.test(line));
  const until = lines.findIndex((line, index) => index > chosen && /^(else|elif|fi)\b/.test(line));
  const then = chosen === -1 ? [] : lines.slice(chosen, until === -1 ? lines.length : until);
  const forgets = then.findIndex((line) => /^set next_entry=$/.test(line));
  const saves = then.findIndex((line) => /^save_env\b.*\bnext_entry$/.test(line));
  const otherwise = lines[until] === "else" ? (lines[until + 1] ?? "") : "";
  return {
    clearsNextEntry: forgets !== -1 && saves > forgets,
    otherDefault: chosen === -1 ? null : (/^set default="([^"'\\]*)"$/.exec(otherwise)?.[1] ?? null),
    sourcesCustom: lines.some((line) => /^(source|\.)\s+\S+\/custom\.cfg$/.test(line)),
    usesBls: lines.some((line) => /^blscfg\b/.test(line)),
  };
}

/** An entry that boots reimage, for custom.cfg. */
export interface GrubEntry {
  readonly id: string;
  readonly fileSystemUuid: string;
  /** Paths inside that file system. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
  /** GrubConfig.otherDefault */
  readonly otherDefault: string;
}

/**
 * The lines of custom.cfg. GRUB has cleared next_entry when it reads them; where grubenv still holds it, GRUB could not write,
 * and the entry would be booted for ever: then the old system is the default again. A kernel that cannot be loaded restarts
 * the machine, because GRUB's menu would wait for a key.
 */
export function formatGrubEntry(entry: GrubEntry): string[] {
  const words = entry.commandLine.split(" ").map(quote).join(" ");
  return [
    `if [ "\${default}" = "${entry.id}" ]; then`,
    "  load_env next_entry",
    `  if [ "\${next_entry}" ]; then`,
    `    set default="${entry.otherDefault}"`,
    "    set next_entry=",
    "  fi",
    "fi",
    `menuentry 'reimage (one boot)' --unrestricted --id ${entry.id} {`,
    `  search --no-floppy --fs-uuid --set=root ${entry.fileSystemUuid}`,
    "  set reimage_loaded=no",
    `  if linux ${quote(entry.kernel)} ${words}; then`,
    `    if initrd ${quote(entry.initramfs)}; then`,
    "      set reimage_loaded=yes",
    "    fi",
    "  fi",
    `  if [ "\${reimage_loaded}" != "yes" ]; then`,
    "    reboot",
    "  fi",
    "}",
  ];
}

/** Nothing that is handed in holds a quote: see oneShotCommandLine. */
function quote(word: string): string {
  return `'${word}'`;
}
