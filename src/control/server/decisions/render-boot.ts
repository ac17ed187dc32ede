/** Boot configurations as boot loaders read them (pure). Nothing in a configuration can become a line, or a command, of its own. */
import { ReimageError } from "../../../errors.ts";
import type { BootConfiguration } from "../../protocol/boot.ts";

export type BootLoader = "pxelinux" | "ipxe" | "grub";

/** What a machine that the endpoint lets reimage gets beside its own arguments: it asks before it writes. Never a token. */
export const ASK_FIRST = "reimage.control.decides=true";

/** What iPXE does to start from the disk: as a BIOS does; where that is not possible, the firmware goes on with its list. */
export const IPXE_DISK = "sanboot --no-describe --drive 0x80 || exit";

/** After so many failed downloads a machine starts from its disk: it must not depend on the network for ever. */
const MOST_TRIES = 6;
const PAUSE_SECONDS = 10;
/** Counts over all scripts of one boot. */
const TRIES = "reimage-tries";

/**
 * @param extraArguments appended to the kernel command line of a `linux` configuration.
 * @throws ReimageError `config` where this boot loader cannot be told so: text for another one, or characters that would not
 * arrive as they are.
 */
export function renderBoot(configuration: BootConfiguration, loader: BootLoader, extraArguments = ""): string {
  if (configuration.kind === "text") {
    if (configuration.bootloader === loader) return configuration.content;
    throw unfit(configuration.name, loader, `it is written for ${configuration.bootloader}`);
  }
  if (configuration.kind === "local") return locals[loader];
  const { name } = configuration;
  const parts: Parts = {
    name,
    kernel: path(name, loader, configuration.kernel),
    initrd: configuration.initrd.map((each) => path(name, loader, each)),
    cmdline: oneLine(name, loader, `${configuration.cmdline} ${extraArguments}`),
  };
  return { pxelinux, ipxe, grub }[loader](parts);
}

interface Parts {
  readonly name: string;
  readonly kernel: string;
  readonly initrd: readonly string[];
  readonly cmdline: string;
}

const locals: Readonly<Record<BootLoader, string>> = {
  pxelinux: "DEFAULT local\nLABEL local\n  LOCALBOOT 0\n",
  ipxe: `#!ipxe\n${IPXE_DISK}\n`,
  // A firmware with EFI goes on with its own list; a BIOS is handed the first disk's boot sector.
  grub: 'if [ "$grub_platform" = efi ]; then exit; fi\nset root=(hd0)\nchainloader +1\nboot\n',
};

/** https://wiki.syslinux.org/wiki/index.php?title=Config : everything up to the end of a line is one argument. */
function pxelinux({ name, kernel, initrd, cmdline }: Parts): string {
  const comma = initrd.find((each) => each.includes(","));
  if (comma !== undefined) throw unfit(name, "pxelinux", `the comma in ${comma} would separate two files`);
  const lines = [`DEFAULT ${name}`, `LABEL ${name}`, `  LINUX ${kernel}`];
  if (initrd.length > 0) lines.push(`  INITRD ${initrd.join(",")}`);
  if (cmdline !== "") lines.push(`  APPEND ${cmdline}`);
  return `${lines.join("\n")}\n`;
}

/**
 * https://ipxe.org/scripting : `${…}` is replaced and a line is split into words; there are no quotes and no escapes. What would
 * be a setting, a comment or an operator cannot be said, and is refused.
 */
function ipxe({ name, kernel, initrd, cmdline }: Parts): string {
  for (const text of [kernel, ...initrd, cmdline]) {
    if (text.includes("${")) throw unfit(name, "ipxe", `iPXE would replace the setting in ${text}`);
    const word = text.split(" ").find((each) => /^(\|\||&&|;)$|^#|\\$/.test(each));
    if (word !== undefined) throw unfit(name, "ipxe", `iPXE gives a meaning of its own to ${word}`);
  }
  // By name, for kernels that load their initrd by the EFI stub; others are handed it, and ignore the arguments.
  const named = initrd.map((_, index) => `initrd=initrd${index}`);
  return ipxeScript([
    "imgfree",
    `kernel ${[kernel, ...named, cmdline].filter((text) => text !== "").join(" ")} || goto failed`,
    ...initrd.map((each, index) => `initrd --name initrd${index} ${each} || goto failed`),
    "boot || goto failed",
    ":failed",
    `echo reimage: ${name} could not be loaded`,
  ]);
}

/**
 * A script that runs `lines`; where they end, it waits and runs them again, and starts from the disk after some tries. A
 * machine whose iPXE cannot count does so at once.
 * @param instead a command in the place of running them again; they are run again where it fails.
 */
export function ipxeScript(lines: readonly string[], instead: string | null = null): string {
  return `${[
    "#!ipxe",
    `isset \${${TRIES}} || set ${TRIES}:int32 0`,
    ":again",
    ...lines,
    `inc ${TRIES} || goto disk`,
    `iseq \${${TRIES}} ${MOST_TRIES} && goto disk ||`,
    `echo reimage: trying again in ${PAUSE_SECONDS} s, then from the disk`,
    `sleep ${PAUSE_SECONDS}`,
    ...(instead === null ? [] : [`${instead} && exit ||`]),
    "goto again",
    ":disk",
    "echo reimage: starting from the disk",
    IPXE_DISK,
  ].join("\n")}\n`;
}

/** Text for the console of iPXE: whatever has a meaning of its own is left out. */
export function ipxeText(text: string): string {
  const printable = text.replace(/[^ -~]/g, " ").replace(/[$\\]/g, "");
  const words = printable.split(" ").filter((word) => word !== "" && !/^(\|\||&&|;)$|^#/.test(word));
  return words.join(" ").slice(0, 500);
}

/** The GNU GRUB manual, "Shell-like scripting": nothing has a meaning between single quotes. */
function grub({ name, kernel, initrd, cmdline }: Parts): string {
  // GRUB hands \ and ' over with a \ before them, and what it quotes itself with double quotes.
  const strange = [kernel, ...initrd, cmdline].find((text) => /['\\]/.test(text));
  if (strange !== undefined) throw unfit(name, "grub", `GRUB hands over ' and \\ changed: ${strange}`);
  const words = kernelArguments(cmdline).map((argument) => `'${argument.replaceAll('"', "")}'`);
  const file = (text: string) => `'${grubPath(name, text)}'`;
  const lines = [`linux ${[file(kernel), ...words].join(" ")}`];
  if (initrd.length > 0) lines.push(`initrd ${initrd.map(file).join(" ")}`);
  return `${[...lines, "boot"].join("\n")}\n`;
}

/** A URL as GRUB names it: `(http,server:port)/path`. */
function grubPath(name: string, text: string): string {
  const url = /^([a-z]+):\/\/([^/]+)(\/.*)$/i.exec(text);
  if (url === null) return text;
  const [, protocol = "", server = "", rest = ""] = url;
  if (!/^(http|tftp)$/i.test(protocol)) throw unfit(name, "grub", `GRUB loads by http and tftp, not by ${protocol}`);
  return `(${protocol.toLowerCase()},${server})${rest}`;
}

/** As the kernel takes its command line apart: double quotes keep spaces together (next_arg in lib/cmdline.c). */
function kernelArguments(cmdline: string): string[] {
  return cmdline.match(/(?:"[^"]*(?:"|$)|[^ "])+/g) ?? [];
}

function path(name: string, loader: BootLoader, text: string): string {
  if (/^[!-~]+$/.test(text)) return text;
  throw unfit(name, loader, `${JSON.stringify(text)} holds a space or another character that a URL must escape`);
}

/** Lines are joined: the command line of a kernel is one. */
function oneLine(name: string, loader: BootLoader, text: string): string {
  const line = text.replace(/[ \t\n\v\f\r]+/g, " ").trim();
  const isPrintable = !/\p{Cc}|\p{Zl}|\p{Zp}/u.test(line);
  if (isPrintable) return line;
  throw unfit(name, loader, "its command line holds a control character");
}

function unfit(name: string, loader: BootLoader, why: string): ReimageError {
  return new ReimageError("config", `boot configuration ${name} cannot be said to ${loader}: ${why}`, {
    hint: `change it, or give it as text for ${loader}`,
  });
}
