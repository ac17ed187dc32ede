/** The list of what the drivers in an initramfs know: which devices, of which kernel. Pure. */

/** First line of `/drivers`, which scripts/build-initramfs.ts writes by `formatDriverList`. */
const title = "reimage drivers 1";

export interface DriverList {
  /** As `uname -r` says it. */
  readonly kernel: string;
  /** Alias patterns of modules and built-in drivers, of the buses that disks hang on. */
  readonly patterns: readonly string[];
}

/** Buses that lead to disks. Network cards, sound and the like are on some of them too; what is not there is not missed. */
const busPattern = /^(pci|virtio|scsi|usb|vmbus|xen|mmc|nd|firewire|ieee1394|acpi\*|platform|of):/;

/** Whether a pattern belongs into the list. */
export function isOfDiskBus(pattern: string): boolean {
  return busPattern.test(pattern.replace(/^of:N.*/, "of:")); // device trees: of:N*T*C…
}

export function formatDriverList({ kernel, patterns }: DriverList): string {
  return [title, kernel, ...[...new Set(patterns)].sort(), ""].join("\n");
}

/** Null for a text that is no such list. */
export function parseDriverList(text: string): DriverList | null {
  const [first, kernel, ...patterns] = text.split("\n").filter((line) => line !== "");
  return first === title && kernel !== undefined ? { kernel, patterns } : null;
}

/** Lines `alias PATTERN MODULE` of modules.alias, but for modules that `isWanted` does not want. */
export function aliasesOfModules(modulesAlias: string, isWanted: (module: string) => boolean): string[] {
  return modulesAlias.split("\n").flatMap((line) => {
    const [word, pattern, module] = line.split(" ");
    return word === "alias" && pattern !== undefined && module !== undefined && isWanted(module) ? [pattern] : [];
  });
}

/** `module.alias=PATTERN` of modules.builtin.modinfo, whose entries end with a zero byte. */
export function aliasesOfBuiltIn(modulesBuiltinModinfo: string): string[] {
  return modulesBuiltinModinfo.split("\0").flatMap((entry) => /^[^.=]+\.alias=(.+)$/s.exec(entry)?.[1] ?? []);
}

/** Whether one of the patterns matches a device's MODALIAS. */
export function knowsAlias(list: DriverList, alias: string): boolean {
  return list.patterns.some((pattern) => matchesAlias(pattern, alias));
}

/** As modprobe matches: fnmatch(3) without flags, and `-` is `_` but in brackets (libkmod's alias_normalize). */
export function matchesAlias(pattern: string, alias: string): boolean {
  const parts = pattern.match(/\[[^\]]*\]|[^[]/gs) ?? [];
  const expression = parts.map((part) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (part.length > 1) return part.replace(/^\[!/, "[^").replaceAll("\\", "\\\\");
    return part.replace("-", "_").replace(/[.+^${}()|\\\]/]/, "\\$&");
  });
  return new RegExp(`^${expression.join("")}$`, "s").test(alias.replaceAll("-", "_"));
}
